"""The library's message assemblers, which know when a handler asks for a message and when it is given one."""

from __future__ import annotations

from typing import Any

from websockets.asyncio.messages import Assembler as AsyncioAssemblerBase
from websockets.sync.messages import Assembler as SyncAssemblerBase

from printobs.integrations import websockets_endpoints as endpoints
from printobs.signals.message_scope import Messages
from printobs.signals.propagation import WHOLE, may_carry


def _messages() -> Messages | None:
    telemetry = endpoints.bound()
    return None if telemetry is None else Messages(telemetry)


class AsyncioAssembler(AsyncioAssemblerBase):
    """`websockets.asyncio.messages.Assembler`; a message read as a stream has no context of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages = _messages()

    async def get(self, decode: bool | None = None) -> Any:
        """Give the next message: the one before is over."""
        messages = self._messages
        if messages is None:
            return await super().get(decode)
        if messages.busy is not None:
            messages.over()
        message = await AsyncioAssemblerBase.get(self, decode)  # not super(): see `Counted`
        # As `may_carry` of a short text, without its call.
        if (
            '"traceparent"' in message or '"baggage"' in message
            if message.__class__ is str and len(message) <= WHOLE
            else may_carry(message)
        ):
            messages.taken(message)
        return message

    def close(self) -> None:
        """End: the connection has."""
        if self._messages is not None:
            self._messages.over()
        super().close()


class SyncAssembler(SyncAssemblerBase):
    """`websockets.sync.messages.Assembler`; a message read as a stream has no context of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages = _messages()

    def get(self, timeout: float | None = None, decode: bool | None = None) -> Any:
        """Give the next message: the one before is over."""
        messages = self._messages
        if messages is None:
            return super().get(timeout, decode)
        if messages.busy is not None:
            messages.over()
        message = SyncAssemblerBase.get(self, timeout, decode)
        # As `may_carry` of a short text, without its call.
        if (
            '"traceparent"' in message or '"baggage"' in message
            if message.__class__ is str and len(message) <= WHOLE
            else may_carry(message)
        ):
            messages.taken(message)
        return message

    def close(self) -> None:
        """End: the connection has."""
        if self._messages is not None:
            self._messages.over()
        super().close()
