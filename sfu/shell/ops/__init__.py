"""The operators' port: metrics, the task tree, and what is measured for them."""
