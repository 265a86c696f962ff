"""Text -> Labels. Knows no store."""
