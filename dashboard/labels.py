"""All Chinese names of enums, with their colours and icons; a colour means one thing everywhere."""

from __future__ import annotations

from alerts.mute import SILENCE_WORDS, Silence
from index.models import (
    AlertState,
    Intent,
    Level,
    LinkBasis,
    LinkState,
    NotificationState,
    Outcome,
    Priority,
    Reason,
    Role,
    Sentiment,
    TaskState,
)

SENTIMENT = {Sentiment.NEGATIVE: "负面", Sentiment.NEUTRAL: "中性", Sentiment.POSITIVE: "正面"}
SENTIMENT_COLOUR = {Sentiment.NEGATIVE: "red", Sentiment.NEUTRAL: "gray", Sentiment.POSITIVE: "green"}
SENTIMENT_ICON = {
    Sentiment.NEGATIVE: ":material/sentiment_dissatisfied:",
    Sentiment.NEUTRAL: ":material/sentiment_neutral:",
    Sentiment.POSITIVE: ":material/sentiment_satisfied:",
}
SENTIMENT_HEX = {Sentiment.NEGATIVE: "#d2434f", Sentiment.NEUTRAL: "#9aa7ae", Sentiment.POSITIVE: "#3a9c6e"}
POLARITY_SIGN = {Sentiment.NEGATIVE: "−", Sentiment.NEUTRAL: "○", Sentiment.POSITIVE: "+"}

INTENT = {
    Intent.COMPLAINT: "投诉",
    Intent.PRAISE: "表扬",
    Intent.QUESTION: "咨询",
    Intent.SUGGESTION: "建议",
    Intent.PURCHASE: "购买意向",
    Intent.OTHER: "其他",
}
INTENT_COLOUR = {Intent.COMPLAINT: "orange", Intent.QUESTION: "blue", Intent.PRAISE: "green"}
SEVERITY = {0: "一般", 1: "严重", 2: "非常严重"}
WORKER_ROLE = {"crawl": "采集与入库", "read": "重读旧提及", "decide": "预警、通知与清理"}
HEAD = {"sentiment": "情感", "intent": "意图", "severity": "严重程度", "aspects": "方面 (含褒贬)"}

ASPECT = {
    "logistics": "物流",
    "packaging": "包装",
    "quality": "质量",
    "price": "价格",
    "service": "服务",
    "aftersale": "售后",
    "authenticity": "正品",
    "food_safety": "食品安全",
    "taste": "口味",
    "portion": "分量",
    "efficacy": "功效",
    "smell": "气味",
    "size": "尺寸",
    "environment": "环境",
    "appearance": "外观",
    "safety": "安全",
}

KIND = {
    "post": "帖子",
    "comment": "评论",
    "review": "评价",
    "article": "文章",
    "question": "提问",
    "complaint": "投诉单",
}
KIND_ICON = {
    "post": ":material/chat_bubble:",
    "comment": ":material/mode_comment:",
    "review": ":material/reviews:",
    "article": ":material/article:",
    "question": ":material/help:",
    "complaint": ":material/report:",
}

PLATFORM = {
    "weibo": "微博",
    "xiaohongshu": "小红书",
    "douyin": "抖音",
    "bilibili": "哔哩哔哩",
    "zhihu": "知乎",
    "tieba": "贴吧",
    "douban": "豆瓣",
    "wechat": "微信公众号",
    "kuaishou": "快手",
    "toutiao": "今日头条",
    "heimao": "黑猫投诉",
    "dianping": "大众点评",
    "appstore": "App Store",
    "forum": "论坛",
    "news": "新闻",
    "blog": "博客",
    "file": "导入文件",
    "rss": "订阅",
    "feed": "订阅",
    "shop": "电商评价",
    "vendor": "数据供应商",
    "weiyan": "微言",
    "shequ": "咖啡社区论坛",
    "pinglun": "本地生活点评",
    "wenzhang": "资讯文章",
    "tousu": "投诉台",
}

SOURCE_KIND = {"feed": "订阅源", "page": "网页", "appstore": "应用商店", "json": "数据接口", "file": "文件"}

LEVEL = {Level.BLUE: "蓝色", Level.YELLOW: "黄色", Level.ORANGE: "橙色", Level.RED: "红色"}
LEVEL_COLOUR = {Level.BLUE: "blue", Level.YELLOW: "yellow", Level.ORANGE: "orange", Level.RED: "red"}
LEVEL_HEX = {Level.BLUE: "#4a86dd", Level.YELLOW: "#d6a800", Level.ORANGE: "#e57f00", Level.RED: "#d2232f"}

REASON = {
    Reason.RISK_WORD: "风险词",
    Reason.THRESHOLD: "超过阈值",
    Reason.SPIKE: "异常增长",
    Reason.SOURCE_QUIET: "来源中断",
}
ALERT_STATE = {AlertState.OPEN: "未确认", AlertState.ACKNOWLEDGED: "处理中", AlertState.RESOLVED: "已解除"}
ALERT_STATE_COLOUR = {AlertState.OPEN: "red", AlertState.ACKNOWLEDGED: "blue", AlertState.RESOLVED: "gray"}

PRIORITY = {Priority.URGENT: "紧急", Priority.HIGH: "高", Priority.NORMAL: "中", Priority.LOW: "低"}
PRIORITY_COLOUR = {Priority.URGENT: "red", Priority.HIGH: "orange", Priority.NORMAL: "blue", Priority.LOW: "gray"}
TASK_STATE = {
    TaskState.OPEN: "待认领",
    TaskState.CLAIMED: "处理中",
    TaskState.WAITING: "等待中",
    TaskState.REPLIED: "已回复",
    TaskState.CLOSED: "已关闭",
    TaskState.DISMISSED: "已忽略",
}

OUTCOME = {
    Outcome.OK: "成功",
    Outcome.EMPTY: "无新内容",
    Outcome.BLOCKED: "被拦截",
    Outcome.LOGIN_EXPIRED: "登录失效",
    Outcome.CHANGED: "页面已改版",
    Outcome.PARTIAL: "部分成功",
    Outcome.FAILED: "失败",
    Outcome.TIMEOUT: "超时",
}
OUTCOME_COLOUR = {
    Outcome.OK: "green",
    Outcome.EMPTY: "green",
    Outcome.PARTIAL: "orange",
    Outcome.BLOCKED: "red",
    Outcome.LOGIN_EXPIRED: "red",
    Outcome.CHANGED: "red",
    Outcome.FAILED: "red",
    Outcome.TIMEOUT: "red",
}

LINK_STATE = {
    LinkState.LINKED: "已关联",
    LinkState.SUGGESTED: "待确认",
    LinkState.REFUSED: "已拒绝",
    LinkState.UNDONE: "已撤销",
}
LINK_STATE_COLOUR = {
    LinkState.LINKED: "green",
    LinkState.SUGGESTED: "orange",
    LinkState.REFUSED: "gray",
    LinkState.UNDONE: "gray",
}
LINK_BASIS = {
    LinkBasis.HANDLE: "客户留下的账号",
    LinkBasis.ORDER_NUMBER: "文中订单号",
    LinkBasis.NAME: "名称相近",
    LinkBasis.PERSON: "人工关联",
}

NOTIFICATION_STATE = {
    NotificationState.PENDING: "待发送",
    NotificationState.SENT: "已发送",
    NotificationState.FAILED: "发送失败",
    NotificationState.DROPPED: "未发送",
}
NOTIFICATION_COLOUR = {
    NotificationState.PENDING: "gray",
    NotificationState.SENT: "green",
    NotificationState.FAILED: "red",
    NotificationState.DROPPED: "gray",
}

GROUP = {"A": "A 高价值高频", "B": "B 高价值", "C": "C 高频", "D": "D 普通", "E": "E 近一年未下单"}
ROLE = {Role.PR: "公关", Role.SERVICE: "客服", Role.PRODUCT: "产品", Role.ADMIN: "管理员"}
OUTCOMES_OF_TASK = ("已解决", "已退款或补偿", "已解释", "转其他部门", "客户未再回应")
DISMISS_REASONS = ("与本品牌无关", "广告或灌水", "重复任务", "无需回复")
HIDE_REASONS = ("与监测主题无关", "广告或灌水", "原文已删除", "涉及个人隐私")
OTHER_REASON = "其他 (写在下面)"

ACTION = {
    "opened": "预警产生",
    "raised": "级别上升",
    "level_raised": "上调级别",
    "level_lowered": "下调级别",
    "level_restored": "恢复级别",
    "note": "备注",
    "acknowledged": "确认",
    "assigned": "指派",
    "muted": "静音",
    "unmuted": "取消静音",
    "resolved": "解除",
    "false_alarm": "标为误报",
    "created": "创建任务",
    "claimed": "认领",
    "released": "退回队列",
    "waiting": "转为等待",
    "replied": "已回复",
    "closed": "关闭",
    "dismissed": "忽略",
    "resumed": "继续处理",
    "reopened": "重新打开",
    "sent": "发送通知",
    "overdue": "任务超时",
    "evidence_added": "加入证据",
    "evidence_removed": "撤下证据",
}


def silence(reason: str) -> str:
    """Why a message was not sent; empty for a failed try, whose error says it in full."""
    return SILENCE_WORDS[Silence(reason)] if reason in list(Silence) else ""


def platform(name: str) -> str:
    return PLATFORM.get(name, name)


def channel(name: str) -> str:
    """A channel as its owner named it; the built-in one in Chinese."""
    return {"inbox": "站内", "log": "日志"}.get(name, name)


def aspect(name: str) -> str:
    return ASPECT.get(name, name)


def action(name: str) -> str:
    return ACTION.get(name, name)


def actor(name: str) -> str:
    """Who wrote a line of a timeline, where it was no person."""
    return {"system": "系统", "worker": "系统", "rule": "规则", "import": "导入"}.get(name, name)
