"""Web page -> Mention lines; knows Scrapy, knows no store and no model."""
