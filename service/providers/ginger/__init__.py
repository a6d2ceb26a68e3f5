"""Ginger (EMS Online, ING Checkout, Cost+ and other brands of one platform)."""

from service.providers.ginger.adapter import Ginger, GingerKeys

__all__ = ["Ginger", "GingerKeys"]
