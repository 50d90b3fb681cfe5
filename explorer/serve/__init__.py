"""What serves several sessions: shared pairs, their queues of generations, builds as processes. Knows no Streamlit."""
