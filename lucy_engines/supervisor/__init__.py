"""Beside a node's daemon: the puppeteer that is PID 1 of its container, and the ways of its lines out."""
