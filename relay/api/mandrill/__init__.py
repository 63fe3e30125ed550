"""The door for programs written for Mandrill's API: its calls and its errors, our one intake behind them."""
