"""Random texts that are hard to search: all kinds of characters that real posts mix."""

from __future__ import annotations

from hypothesis import strategies as st

CHINESE = "咖啡店山岚拉肚子国國体體丶味"
_PIECES = st.one_of(
    st.text(CHINESE, min_size=1, max_size=6),
    st.sampled_from(
        ["iPhone", "ＡＢＣ", "abc", "15", "２０", "咖啡", "，", "。", "\n", " ", "　", "！！", "#", "@", "😡", "❤️"]
    ),
    st.sampled_from(["\u200b", "é", "カフェ", "①", "½", "a1", "…", "_", "-", "․"]),
)

texts = st.lists(_PIECES, max_size=12).map("".join)
chinese_words = st.text(CHINESE, min_size=1, max_size=5)
