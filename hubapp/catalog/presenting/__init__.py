"""What pages and their JSON twins say: words and plain values, no markup."""
