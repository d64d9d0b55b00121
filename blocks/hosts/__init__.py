"""What stays up: say what should be (`apply`), look (`observe`, `healthy`), take away (`delete`)."""
