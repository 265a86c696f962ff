"""The router: who is it, which pages are there, what stands on all of them."""

from pathlib import Path

import streamlit as st

from dashboard import context, failures, labels, last_known, parts
from dashboard.sign_in import sign_in_page
from index.models import Role
from index.store import StoreError

ASSETS = Path(__file__).with_name("assets")

st.set_page_config(page_title="闻声", page_icon=str(ASSETS / "icon.svg"), layout="wide")
st.logo(str(ASSETS / "logo.svg"), size="large")

now = context.clock()
try:
    viewer, loss = context.who(now)
    st.session_state["viewer"] = viewer
except StoreError as error:
    if not last_known.is_loss(error):
        raise
    failures.show(error)
    st.stop()
scope = viewer.scope if viewer else ()


def counted(title: str, n: int) -> str:
    return f"{title} ({n})" if n else title


overview = st.Page(
    "app_pages/overview.py",
    title="总览",
    icon=":material/monitoring:",
    default=True,
    help="现在有没有异常, 为什么。",
)
mentions = st.Page(
    "app_pages/mentions.py",
    title="提及",
    icon=":material/forum:",
    url_path="mentions",
    help="检索、阅读、更正标注、转成任务。",
)
n_alerts, n_late = parts.frame_counts(scope, now, loss) if viewer else (0, 0)
alerts = st.Page(
    "app_pages/alerts.py",
    title=counted("预警", n_alerts),
    icon=":material/crisis_alert:",
    url_path="alerts",
    help="未确认的预警有几条, 每条的原因与处置。",
)
tasks = st.Page(
    "app_pages/tasks.py",
    title=counted("回复任务", n_late),
    icon=":material/support_agent:",
    url_path="tasks",
    help="该回复谁, 还剩多少时间; 括号里是超时的任务数。",
)
customers = st.Page(
    "app_pages/customers.py",
    title="客户",
    icon=":material/group:",
    url_path="customers",
    help="已知客户、他们说过什么、账号与客户的关联。",
)
sources = st.Page(
    "app_pages/sources.py",
    title="来源",
    icon=":material/rss_feed:",
    url_path="sources",
    help="数据从哪里来, 采集是否正常。",
)
model = st.Page(
    "app_pages/model.py",
    title="模型",
    icon=":material/model_training:",
    url_path="model",
    help="哪个模型在读提及, 与人的判断有多一致。",
)

page = st.navigation(
    {"监测": [overview, mentions], "处置": [alerts, tasks, customers], "管理": [sources, model]},
    position="sidebar" if viewer else "hidden",
)

if viewer is None:
    sign_in_page()
    st.stop()

with st.sidebar:
    st.space("small")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/account_circle: {labels.ROLE[viewer.role]} · {viewer.name}")
        st.button("退出", key="sign_out", type="tertiary", icon=":material/logout:", on_click=context.leave)
    ticket = st.session_state.get("ticket")
    if ticket:
        keep = f"fetch('/auth/session', {{method: 'POST', headers: {{'X-Wensheng-Ticket': '{ticket}'}}}})"
        st.html(f"<script>{keep}</script>", unsafe_allow_javascript=True)

if not st.session_state.get("landed"):
    st.session_state["landed"] = True
    if viewer.role == Role.SERVICE and page == overview:
        st.switch_page(tasks)

parts.said()


def view() -> tuple[object, ...]:
    """What the page's answers depend on."""
    params = tuple(sorted((name, tuple(st.query_params.get_all(name))) for name in st.query_params))
    return (scope, page.url_path, params)


if loss is not None:
    parts.lost(loss)
parts.model_banner(now, loss)
parts.roles_banner(now, loss)
try:
    with last_known.run(view(), now, loss, also=view):
        page.run()
except StoreError as error:
    if not last_known.is_loss(error):
        raise
    if loss is not None:
        failures.show_unknown(loss)
    else:
        last_known.lose(failures.note(error), now)
        st.rerun()
