"""What the person can do: operators, the jobs behind them, and the command line. Imports neither torch nor cv2."""
