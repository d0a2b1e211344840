"""The demonstration: a service, two agents and three virtual printers, each its own process, and sixty receipts."""
