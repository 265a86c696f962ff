"""Masking of personal data. All numbers are invented; checksums are made right where they matter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.clean import URL
from nlp.pii import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("电话13812345678", "电话138****5678"),
        ("打+86 138 1234 5678问", "打+86 138 **** 5678问"),
        ("138-1234-5678", "138-****-5678"),
        ("１３８１２３４５６７８", "１３８****５６７８"),
        ("tel13812345678", "tel138****5678"),
        ("联系13812345678vx同号", "联系138****5678vx同号"),
        ("13812345678wx同号", "138****5678wx同号"),
        ("电话13812345678QQ同号", "电话138****5678QQ同号"),
        ("13812345678tel", "138****5678tel"),
        ("加wechat13812345678", "加wechat138****5678"),
        ("weixin13812345678", "weixin138****5678"),
        ("v13812345678", "v138****5678"),
        ("座机010-62345678", "座机010-****5678"),
        ("（0571）87654321", "（0571）****4321"),
        ("香港+852 6123 4567", "香港+852 **** 4567"),
        ("写信到a.b-c@example.com吧", "写信到[邮箱]吧"),
        ("ａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "[邮箱]"),
        ("身份证110101199003077571", "身份证[身份证]"),
        ("身份证11010119900307109x", "身份证[身份证]"),
        ("卡号6222021234567890128", "卡号[银行卡]"),
        ("4111 1111 1111 1111", "[银行卡]"),
        ("车牌京A12345", "车牌[车牌]"),
        ("京A·12345停在门口", "[车牌]停在门口"),
        ("新能源粤BD12345", "新能源[车牌]"),
        ("加微信abc_1234", "加微信[微信号]"),
        ("微信号：shanlan_kf", "微信号：[微信号]"),
        ("VX:hello123", "VX:[微信号]"),
        ("wx abcdef12 详聊", "wx [微信号] 详聊"),
        ("vx同号13812345678", "vx同号138****5678"),
        ("QQ：12345678", "QQ：[QQ号]"),
        ("QQ群 123456789", "QQ群 [QQ号]"),
    ],
)
def test_it_masks(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "订单SL202611180012还没到",
        "订单号 202611180012345",
        "订单号6222021234567890128",
        "只要138.00元，原价1380000",
        "2026-11-26 12:30 到货",
        "型号13812345678abc和x13812345678",
        "身份证110101199003077572",
        "4111 1111 1111 1112",
        "客服400-123-4567，银行95588",
        "微信支付很方便",
        "微信 iPhone15 不能用",
        "微信小程序下单",
        "wechat pay支付失败",
        "our WeChat official account",
        "加vipclub会员",
        "QQ音乐会员",
        "看 http://x.com/13812345678?p=a@b.com",
        "买了vivo x100和京东A货",
        "",
    ],
)
def test_it_leaves(text: str) -> None:
    assert mask(text) == text


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["-vxaaaaa", "加微信a", "wx1", "13812345678", "京A1", "qq1234567", "a@b.", "+86 "])
def test_no_text_makes_it_hang(unit: str) -> None:
    mask(unit * (100_000 // len(unit)) + "!")


def test_a_phone_right_after_an_address_is_masked_and_the_address_is_not() -> None:
    assert mask("http://a.cn/13812345678，13812345678") == "http://a.cn/13812345678，138****5678"


_PIECES = st.sampled_from(
    [
        "13812345678",
        "+86 138 1234 5678",
        "010-62345678",
        "a.b@qq.com",
        "110101199003077571",
        "6222021234567890128",
        "京A12345",
        "粤BD12345",
        "微信号：abc_1234",
        "加微信",
        "vx",
        "QQ",
        "http://x.com/13812345678?q=a@b.com",
        "www.x.cn/6222021234567890128",
        "订单SL202611180012",
        "，",
        " ",
        "好喝",
        "-",
        "1",
        "x",
        "@",
        "（",
    ]
)


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_addresses_stay_byte_for_byte(text: str) -> None:
    addresses = URL.findall(text)
    masked = mask(text)
    at = 0
    for address in addresses:
        at = masked.index(address, at) + len(address)


@given(st.text())
def test_any_text_can_be_masked(text: str) -> None:
    once = mask(text)
    assert mask(once) == once
