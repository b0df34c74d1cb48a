"""What runs models. An engine knows files and tensors; nothing of orders, claims or prices."""
