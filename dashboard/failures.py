"""What people see when something breaks: what happened, what to do, and an id that stands in the log."""

from __future__ import annotations

import logging
import secrets

import streamlit as st

from dashboard import last_known
from dashboard.last_known import Loss
from index.store import StoreError

log = logging.getLogger("wensheng.dashboard")


def note(error: Exception) -> str:
    """Log an error; returns the short id under which it stands there."""
    error_id = secrets.token_hex(4)
    log.error("page failed id=%s", error_id, exc_info=error)
    return error_id


def show(error: Exception) -> bool:
    """Log an error with a short id and tell the person; True: nothing more is shown."""
    error_id = note(error)
    if isinstance(error, StoreError) and last_known.is_loss(error):
        show_lost(error_id)
    else:
        st.error(
            f"这一页没能显示完整, 您刚才的操作可能没有保存。请刷新后重试; 若再次出现, 请把编号 {error_id} 发给管理员。",
            title="页面出错了",
            icon=":material/error:",
        )
    return True


def show_lost(error_id: str) -> None:
    st.error(
        f"数据暂时读不到。请稍后刷新; 若持续出现, 请把编号 {error_id} 发给管理员。",
        title="数据库连不上",
        icon=":material/cloud_off:",
    )


def show_unknown(loss: Loss) -> None:
    """A page, or a part of it, that was not read before the store was lost."""
    st.error(
        f"这一部分在断开之前没有打开过, 所以没有可以显示的旧数据。请换回刚才看过的页面和筛选, 或等恢复后再看; "
        f"编号 {loss.error_id}。",
        title="没有更早的数据",
        icon=":material/cloud_off:",
    )
