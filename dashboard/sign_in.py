"""登录: with an account, or in the sample as any role with one click."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import access, context, failures, labels
from index.store import StoreError

LOGO = str(Path(__file__).with_name("assets") / "logo.svg")
FOR_WHAT = {
    "pr": "看舆情总览、处理预警",
    "service": "认领并回复任务",
    "product": "看用户在说产品的什么",
    "admin": "全部页面与设置",
}


def enter(name: str) -> None:
    try:
        context.start_session(access.enter_sample(context.store(), name, now=context.clock()))
    except access.AccessError as error:
        st.session_state["sign_in_error"] = str(error)
    except StoreError as error:
        st.session_state["sign_in_error"] = f"现在无法进入: 数据库连不上, 请稍后再试 (编号 {failures.note(error)})"


def check() -> None:
    state = st.session_state
    try:
        token = access.sign_in(context.store(), state["login"], state["password"], now=context.clock())
    except access.AccessError as error:
        state["sign_in_error"] = str(error)
        return
    except StoreError as error:
        state["sign_in_error"] = f"现在无法登录: 数据库连不上, 请稍后再试 (编号 {failures.note(error)})"
        return
    context.start_session(token)


def sign_in_page() -> None:
    _, middle, _ = st.columns([1, 1.6, 1])
    with middle:
        st.space("small")
        st.image(LOGO, width=150)
        st.markdown("听见公众在说什么, 及时发现危机, 把每一条投诉交到人手里。")
        error = st.session_state.pop("sign_in_error", None)
        if error:
            st.error(error, icon=":material/lock:")
        if context.settings().sample.enabled:
            with st.container(border=True):
                st.subheader("示例系统: 选一个身份进入", anchor=False)
                st.caption("数据全部为虚构, 品牌、人物、客户均不存在。")
                for name, role in access.SAMPLE_PEOPLE:
                    with st.container(horizontal=True, vertical_alignment="center"):
                        st.button(
                            f"{labels.ROLE[role]} · {name}" if labels.ROLE[role] != name else name,
                            key=f"enter_{name}",
                            width=170,
                            icon=":material/login:",
                            on_click=enter,
                            args=(name,),
                        )
                        st.caption(FOR_WHAT[role])
        with st.form("sign_in", border=True):
            st.subheader("用账号登录", anchor=False)
            st.text_input("账号", key="login", autocomplete="username")
            st.text_input("密码", type="password", key="password", autocomplete="current-password")
            st.form_submit_button("登录", type="primary", width="stretch", on_click=check)
        st.caption("忘记密码请联系管理员重设。连续输错 5 次, 账号会锁定 15 分钟。")
