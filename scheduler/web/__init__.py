"""The daemon's web server: health today, metrics and a status page later."""
