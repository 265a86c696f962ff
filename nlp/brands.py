"""Well-known brands by name: a text says the same of another brand, so training and the robustness test swap them."""

from __future__ import annotations

import re

BRANDS = re.compile(
    r"小米|红米|华为|荣耀|苹果(?=手机|电脑|的?系统|官|店|[ \d])|三星|魅族|一加|诺基亚|摩托罗拉|索尼|联想|戴尔|惠普"
    r"|华硕|宏碁|神舟|京东|淘宝|天猫|亚马逊|当当网?|苏宁|国美|美团|饿了么|大众点评|百度|糯米|拼多多|携程|去哪儿|支付宝|微信|腾讯|新浪|阿里|顺丰|圆通"
    r"|申通|中通|韵达|肯德基|麦当劳|必胜客|星巴克|海底捞|蒙牛|伊利|可口可乐|百事|斯巴鲁|森林人|傲虎|力狮|本田|丰田|奥迪|宝马|奔驰|日产|马自达"
    r"|途观|汉兰达|奇骏|起亚|别克|福特|沃尔沃|比亚迪|格力|海尔|西门子|飞利浦|松下|佳能|尼康|欧莱雅|资生堂|雅诗兰黛|兰蔻|潘婷|海飞丝|飘柔|清扬"
    r"|沙宣|百雀羚|相宜本草|国航|南航|东航|中国移动|中国联通|中国电信|联通|耐克|阿迪达斯|优衣库|如家|汉庭|沃尔玛|家乐福|宜家|屈臣氏|丝芙兰"
    r"|(?<![a-z])(?:iphone|oppo|vivo|mate|nokia|htc|sony|dell|thinkpad|ipad|kindle|starbucks|nike|crv|xv)(?![a-z])",
    re.I,
)
