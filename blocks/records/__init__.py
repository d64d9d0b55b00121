"""The truth: what was asked, in which state it is, why, and who holds what.

Only the controller, the control flows and the terminal open it; instances speak `attempt`'s verbs over HTTP.
"""
