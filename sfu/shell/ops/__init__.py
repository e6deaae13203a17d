"""The admin port: metrics, the task tree, and the measurements for them."""
