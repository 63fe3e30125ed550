"""The lab: the world outside the relay, played on loopback.

A name server for `lab.test`, mail hosts that behave and misbehave, and an inbox that shows what arrived and
how a receiver judges it. The relay under test is the one of production; only its resolver, its port and its
trust anchor are settings. `lab.Lab` starts and stops all of it.
"""
