"""The Chinese dashboard: thin Streamlit pages over the store."""
