"""What the batch tree lists, without a screen."""
