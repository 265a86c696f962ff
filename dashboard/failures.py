"""What people see when something breaks: what happened, what to do, and an id that stands in the log."""

from __future__ import annotations

import logging
import secrets

import streamlit as st

from index.store import StoreUnavailable

log = logging.getLogger("wensheng.dashboard")


def show(error: Exception) -> bool:
    """Log an error with a short id and tell the person; True: nothing more is shown."""
    error_id = secrets.token_hex(4)
    log.error("page failed id=%s", error_id, exc_info=error)
    if isinstance(error, StoreUnavailable):
        st.error(
            f"数据暂时读不到, 采集和分析不受影响。请稍后刷新; 若持续出现, 请把编号 {error_id} 发给管理员。",
            title="数据库连不上",
            icon=":material/cloud_off:",
        )
    else:
        st.error(
            f"这一页没能显示完整, 您刚才的操作可能没有保存。请刷新后重试; 若再次出现, 请把编号 {error_id} 发给管理员。",
            title="页面出错了",
            icon=":material/error:",
        )
    return True
