"""The ways through the dashboard that matter most, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from index.models import Reviewed, Task, TaskState
from index.store import MentionQuery
from tests.e2e.conftest import Dashboard

pytestmark = pytest.mark.e2e
Enter = Callable[..., Page]


def settled(page: Page) -> None:
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def figure(page: Page, name: str) -> int:
    """A key figure of 总览."""
    card = page.locator("[data-testid=stMetric]").filter(has_text=re.compile(rf"^{name}"))
    card.wait_for()
    return int(card.locator("[data-testid=stMetricValue]").inner_text().replace(",", ""))


def total(page: Page) -> int:
    """How many mentions the list says it has."""
    line = page.get_by_text(re.compile(r"^[\d,]+ 条提及")).first
    line.wait_for()
    return int(line.inner_text().split()[0].replace(",", ""))


def n_judged_doubtful(dashboard: Dashboard) -> int:
    """Earlier ways through the same store may have judged doubtful mentions too."""
    return sum(judgement.doubtful for judgement in dashboard.store.find(Reviewed))


@pytest.mark.both_stores
def test_of_two_agents_who_claim_at_once_one_answers_and_the_other_is_told(dashboard: Dashboard, enter: Enter) -> None:
    li, zhou = enter("小李"), enter("小周")
    for page in (li, zhou):
        expect(page.get_by_role("heading", name="回复任务")).to_be_visible()
        page.get_by_role("button", name="认领", exact=True).first.wait_for()
        settled(page)
    li.get_by_role("button", name="认领", exact=True).first.click(no_wait_after=True)
    zhou.get_by_role("button", name="认领", exact=True).first.click(no_wait_after=True)
    expect(li.get_by_label("回复内容").or_(li.get_by_text("认领了这个任务"))).to_be_visible()
    expect(zhou.get_by_label("回复内容").or_(zhou.get_by_text("认领了这个任务"))).to_be_visible()
    won, lost = (li, zhou) if li.get_by_label("回复内容").is_visible() else (zhou, li)
    winner = "小李" if won is li else "小周"
    expect(lost.get_by_text(re.compile(f"{winner}.*认领了这个任务"))).to_be_visible()
    assert len(dashboard.store.find(Task, {"owner": winner, "state": TaskState.CLAIMED})) >= 1

    won.get_by_role("button", name="采用").click()
    expect(won.get_by_label("回复内容")).to_have_value(re.compile("您好"))
    settled(won)
    won.reload()
    expect(won.get_by_label("回复内容")).to_have_value(re.compile("您好"))
    won.get_by_label("回复链接").fill("https://example.com/reply/1")
    won.get_by_role("button", name="登记回复").click()
    won.get_by_placeholder("选择结果").click()
    won.get_by_role("option", name="已解释").click()
    won.get_by_role("button", name="关闭任务").click()
    expect(won.get_by_text(re.compile("任务已关闭.*已解释")).first).to_be_visible()
    closed = dashboard.store.find(Task, {"owner": winner, "state": TaskState.CLOSED})
    assert [task.reply_url for task in closed if task.reply_url] == ["https://example.com/reply/1"]


@pytest.mark.both_stores
def test_a_corrected_label_changes_the_figure_that_leads_to_it(dashboard: Dashboard, enter: Enter) -> None:
    page = enter("林岚")
    before = figure(page, "负面")
    page.get_by_role("button", name=re.compile("条负面")).click()
    expect(page.get_by_role("heading", name="提及")).to_be_visible()
    settled(page)
    assert total(page) == before
    opened = page.locator(".st-key-opened")
    opened.get_by_role("radio", name="正面").or_(opened.get_by_role("button", name="正面")).first.click()
    expect(page.get_by_role("button", name="撤销")).to_be_visible()
    settled(page)
    assert total(page) == before - 1
    page.get_by_role("link", name="总览").click()
    expect(page.get_by_role("heading", name="声量与情感")).to_be_visible()
    settled(page)
    assert figure(page, "负面") == before - 1


def test_doubtful_mentions_are_judged_one_after_the_other_and_leave_the_list(
    dashboard: Dashboard, enter: Enter
) -> None:
    judged_before = n_judged_doubtful(dashboard)
    page = enter("林岚", "/mentions?unsure=1&time=7d")
    settled(page)
    before = total(page)
    assert page.get_by_role("button", name=f"待复核 ({before})").is_visible()
    opened = page.locator(".st-key-opened")
    first = opened.locator("[data-testid=stText]").first.inner_text()
    opened.get_by_role("radio", name="购买意向").or_(opened.get_by_role("button", name="购买意向")).first.click()
    expect(page.get_by_text(re.compile("已更正为购买意向"))).to_be_visible()
    settled(page)
    assert total(page) == before - 1
    assert opened.locator("[data-testid=stText]").first.inner_text() == first
    opened.get_by_role("button", name="其余标注无误").click()
    expect(page.get_by_text("已确认标注无误")).to_be_visible()
    settled(page)
    assert opened.locator("[data-testid=stText]").first.inner_text() != first
    opened.get_by_role("button", name="标注无误", exact=True).click()
    expect(page.get_by_text(re.compile(rf"^{before - 2} 条提及"))).to_be_visible()
    assert n_judged_doubtful(dashboard) == judged_before + 2


@pytest.mark.both_stores
def test_a_reload_keeps_the_filter_and_the_sign_in_until_signing_out(dashboard: Dashboard, enter: Enter) -> None:
    page = enter("林岚", "/mentions")
    page.get_by_role("radio", name="近7天").or_(page.get_by_role("button", name="近7天")).first.click()
    expect(page).to_have_url(re.compile("time=7d"))
    settled(page)
    page.get_by_placeholder(re.compile("检索提及")).fill("青屿咖啡")
    page.get_by_placeholder(re.compile("检索提及")).press("Enter")
    expect(page).to_have_url(re.compile("q="))
    settled(page)
    n = total(page)
    assert n == dashboard.store.count(MentionQuery(text="青屿咖啡", copies="fold"))
    page.reload()
    expect(page.get_by_placeholder(re.compile("检索提及"))).to_have_value("青屿咖啡")
    settled(page)
    assert total(page) == n
    page.get_by_role("button", name="退出").click()
    expect(page.get_by_text("用账号登录")).to_be_visible()
    page.reload()
    expect(page.get_by_text("用账号登录")).to_be_visible()


def test_what_strangers_write_is_shown_and_never_run(enter: Enter) -> None:
    dialogs = []
    page = enter("管理员", "/mentions?mention=weiyan:hostile&time=24h")
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    opened = page.locator(".st-key-opened")
    expect(opened.get_by_text("<script>alert('x')</script>")).to_be_visible()
    settled(page)
    main = page.locator("[data-testid=stMain]")
    assert main.locator("script, img[src=x], a[href*=evil], a[href^=javascript]").count() == 0
    assert main.locator("table, .katex").count() == 0
    assert not dialogs


def test_the_session_cookie_cannot_be_read_by_scripts(enter: Enter) -> None:
    page = enter("林岚")
    expect(page.get_by_role("heading", name="总览")).to_be_visible()
    settled(page)
    cookie = next(each for each in page.context.cookies() if each["name"] == "wensheng_session")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert "wensheng_session" not in page.evaluate("document.cookie")


def test_several_mentions_are_hidden_together_on_a_phone_and_come_back(dashboard: Dashboard, enter: Enter) -> None:
    page = enter("林岚", "/mentions?time=7d")
    page.set_viewport_size({"width": 390, "height": 844})
    settled(page)
    before = total(page)
    assert page.locator(".st-key-bulk_bar").count() == 0
    for place in (0, 1):
        page.locator("[data-testid=stCheckbox] label").nth(place).click()
        expect(page.get_by_text(f"已选 {place + 1} 条")).to_be_visible()
    page.locator(".st-key-bulk_bar").get_by_role("button", name="隐藏").click()
    page.get_by_role("button", name="隐藏这 2 条").click()
    expect(page.get_by_text("已隐藏 2 条")).to_be_visible()
    settled(page)
    assert total(page) == before - 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="撤销").click()
    expect(page.get_by_text("已取消隐藏 2 条")).to_be_visible()
    assert dashboard.store.count(MentionQuery(hidden="only")) == 0


@pytest.mark.both_stores
def test_while_the_store_is_away_the_page_shows_what_it_knew_and_recovers_by_itself(
    dashboard: Dashboard, enter: Enter
) -> None:
    page = enter("林岚")
    settled(page)
    n = figure(page, "提及")
    with dashboard.away():
        page.reload()
        expect(page.get_by_text("数据库连不上")).to_be_visible()
        settled(page)
        assert figure(page, "提及") == n
        expect(page.get_by_text(re.compile("旧数据")).first).to_be_visible()
    expect(page.get_by_text("数据库连不上")).to_have_count(0, timeout=30_000)
    settled(page)
    assert figure(page, "提及") == n
