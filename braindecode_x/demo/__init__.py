"""The demonstration: a real recording and simulated subjects decoded to pictures, and unseen pictures rebuilt."""

from braindecode_x.demo.run import run_demo

__all__ = ["run_demo"]
