"""One machine, nothing but Python: every part under one supervisord, all state in one folder."""
