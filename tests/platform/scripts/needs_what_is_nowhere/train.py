"""Never starts: its requirements.txt does not install."""

print("started all the same")
