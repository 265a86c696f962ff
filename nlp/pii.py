"""Personal data out of texts: mask() hides phones, mail, id and bank cards, plates, WeChat and QQ ids; not in URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberMatcher, PhoneNumberType
from stdnum import luhn
from stdnum.cn import ric

from nlp.clean import URL

_MOST_ROUNDS = 10
# One for one, so that places in the plain text are places in the text.
_PLAIN = {0xFF01 + offset: 0x21 + offset for offset in range(94)} | {0x3000: 0x20, 0xA0: 0x20}
_MAY_HOLD_DATA = re.compile(r"[0-9@]|微信|薇信|威信|v信|vx|wx|wechat|weixin|qq", re.I)

_MAIL = re.compile(r"(?<![\w.%+-])[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5}", re.I | re.A)
_ID_CARD = re.compile(r"(?<![0-9a-z])[1-9][0-9]{5}[ -]?[12][0-9]{7}[ -]?[0-9]{3}[0-9x](?![0-9a-z])", re.I)
_CARD = re.compile(r"(?<![0-9a-z])[0-9](?:[ -]?[0-9]){12,18}(?![0-9a-z])", re.I)
# Issuers with their lengths: UnionPay, Visa, Mastercard, American Express, Diners, JCB, old Chinese debit cards.
_ISSUER = re.compile(
    r"62\d{14,17}|60\d{14}|4\d{12}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|9\d{15,18}"
)
_NUMBER_OF_ORDER = re.compile(r"(?:订单|單號|单号|运单|快递|物流|流水|编号|编码|条码)[^0-9a-z]{0,6}$", re.I)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][·•.\- ]?"
    r"(?=[A-Z]*[0-9][A-Z]*[0-9])(?:[0-9]{5}[A-HJK]|[A-HJK][A-HJ-NP-Z0-9][0-9]{4}|[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳])(?![0-9A-Z])",
    re.I,
)
_MOBILE = re.compile(
    r"(?:(?<![0-9a-z_+])|(?<=tel)|(?<=phone)|(?<=wechat)|(?<=weixin)|(?<=[vw]x)|(?<=qq)|(?<=(?<![a-z])v))"
    r"(?:(?:\+|00)?86[)\s-]{0,2})?"
    r"1[3-9][0-9](?:[ .-]?[0-9]{4}[ .-]?[0-9]{4}|[0-9][ -]?[0-9]{3}[ -]?[0-9]{4})"
    r"(?![0-9]|(?!tel|phone|wechat|weixin|[vw]x|qq)[a-z])",
    re.I,
)
_MAY_BE_PHONE = re.compile(r"(?<![0-9a-z])(?:\+[1-9]|00?[1-9]|86)[0-9()\s-]{6,}|[(]0[1-9][0-9]{1,2}[)]", re.I)
_PUBLIC_LINES = (
    PhoneNumberType.TOLL_FREE,
    PhoneNumberType.SHARED_COST,
    PhoneNumberType.UAN,
    PhoneNumberType.PREMIUM_RATE,
)

_SAYS = r"(?:号码?|號碼?|id|账号|帐号|群号?)?[\s:是为=]{0,4}"
_WECHAT = re.compile(
    r"(?:(?:加|\+)\s?(?:个|我|下)?(?:微信|薇信|威信|v信|微|薇|v(?![a-z]))|微信[号號]|(?<![0-9a-z])[vw]x"
    r"|(?:微信|薇信|威信|v信|wechat|weixin)(?=(?:号码?|id)?\s*[:是为=])"
    r"|微信(?=[a-z_-]*[0-9])(?!i(?:phone|pad|os)|android|windows|mac|pro))"
    rf"{_SAYS}(?P<id>[a-z][a-z0-9_-]{{5,19}}+|[1-9][0-9]{{4,11}}+)(?![a-z0-9_.-]{{0,40}}[a-z0-9])",
    re.I,
)
_QQ = re.compile(rf"(?:(?<![0-9a-z])qq|扣扣|企鹅号){_SAYS}(?P<id>[1-9][0-9]{{4,10}})(?![0-9a-z])", re.I)


class _Span(NamedTuple):
    start: int
    end: int
    mask: str | None
    """None: a phone number, which keeps its first and last digits."""


def mask(text: str) -> str:
    """The text with personal data hidden; URLs stay byte for byte. Masking twice changes nothing more.

    138****5678 for phones; [邮箱] [身份证] [银行卡] [车牌] [微信号] [QQ号] for the rest. Hotlines (400, 95) stay.
    """
    # A mask is a new neighbour: what stood glued to a hidden number may be readable as one of its own now.
    for _ in range(_MOST_ROUNDS):
        masked = _masked_once(text)
        if masked == text:
            break
        text = masked
    return text


def _masked_once(text: str) -> str:
    pieces: list[str] = []
    at = 0
    for url in URL.finditer(text):
        pieces += (_masked_piece(text[at : url.start()]), url[0])
        at = url.end()
    pieces.append(_masked_piece(text[at:]))
    return "".join(pieces)


def _masked_piece(piece: str) -> str:
    plain = piece.translate(_PLAIN)
    if not _MAY_HOLD_DATA.search(plain):
        return piece
    taken: list[_Span] = []
    is_taken = bytearray(len(plain))
    for span in _spans(plain):
        if not any(is_taken[span.start : span.end]):
            is_taken[span.start : span.end] = b"\1" * (span.end - span.start)
            taken.append(span)
    pieces: list[str] = []
    at = 0
    for span in sorted(taken):
        pieces += (piece[at : span.start], span.mask or _starred(piece[span.start : span.end]))
        at = span.end
    return "".join(pieces) + piece[at:]


def _spans(plain: str) -> Iterator[_Span]:
    """Finds, the surest kind first; later ones that overlap give way."""
    for found in _MAIL.finditer(plain):
        yield _Span(found.start(), found.end(), "[邮箱]")
    for found in _ID_CARD.finditer(plain):
        if ric.is_valid(found[0].replace(" ", "").replace("-", "")):
            yield _Span(found.start(), found.end(), "[身份证]")
    for found in _CARD.finditer(plain):
        if _is_bank_card(found[0]) and not _NUMBER_OF_ORDER.search(plain, max(0, found.start() - 12), found.start()):
            yield _Span(found.start(), found.end(), "[银行卡]")
    for found in _MOBILE.finditer(plain):
        yield _Span(found.start(), found.end(), None)
    for found in _WECHAT.finditer(plain):
        yield _Span(found.start("id"), found.end("id"), "[微信号]")
    for found in _QQ.finditer(plain):
        yield _Span(found.start("id"), found.end("id"), "[QQ号]")
    for found in _PLATE.finditer(plain):
        yield _Span(found.start(), found.end(), "[车牌]")
    yield from _other_phones(plain)


def _other_phones(plain: str) -> Iterator[_Span]:
    if not _MAY_BE_PHONE.search(plain):
        return
    for match in PhoneNumberMatcher(plain, "CN"):
        if phonenumbers.number_type(match.number) not in _PUBLIC_LINES:
            yield _Span(match.start, match.end, None)


def _is_bank_card(number: str) -> bool:
    digits = number.replace(" ", "").replace("-", "")
    return _ISSUER.fullmatch(digits) is not None and luhn.is_valid(digits)


def _starred(number: str) -> str:
    """A phone number with the four digits before the last four hidden, in its own spelling."""
    places = [place for place, sign in enumerate(number) if sign.isdecimal()][-8:-4]
    return "".join("*" if place in places else sign for place, sign in enumerate(number))
