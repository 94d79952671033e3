"""Guests defined through Vagrant."""
