"""Ends of transactions (37), their checks at producers (39), and the resumption of discarded ones (323).

A transaction belongs to the topic of its half message. The processor finds this topic by the offset that the request
names, and ignores what else a request says about it. If there is no such transaction, or the sender may not publish to
its topic, the sender gets the same error. So a sender that tries offsets one by one finds no transactions of others.
"""

from mqguard.auth.policy import Action
from mqguard.broker.settings import BrokerSettings
from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.engine.messages import EndOfTransaction
from mqguard.engine.transaction_checks import TransactionChecks
from mqguard.engine.transactions import PendingTransaction
from mqguard.guard.message_authorization import is_permitted
from mqguard.model import properties, record
from mqguard.model.peer import Channel
from mqguard.model.process import Clock
from mqguard.model.record import Record, parse_offset_id
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.send import (
    COMMIT,
    ROLLBACK,
    UNKNOWN,
    CheckTransactionHeader,
    EndTransactionHeader,
    ResumeCheckHeader,
)

NOT_FOUND = "Find prepared transaction message failed"
"""Apache's wording."""


class TransactionProcessor:
    """Handlers that end transactions, and the checks that the broker sends.

    Args:
        engine: Engine, which has the half messages.
        clients: Connected producers.
        client_calls: Requests to clients.
        settings: Settings with the name of this broker.
        clock: Clock.

    Attributes:
        checks: Checks of all transactions.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        client_calls: ClientCalls,
        settings: BrokerSettings,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._client_calls = client_calls
        self._broker = settings.name
        self.checks = TransactionChecks(engine.transactions, engine.discarded, clients, self._send_check, clock)

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {RequestCode.END_TRANSACTION: self.end, RequestCode.RESUME_CHECK_HALF_MESSAGE: self.resume}

    def end(self, request: Request) -> Reply:
        """Commit a transaction, roll it back, or note that its result is not known yet (37)."""
        header = read(request.command.ext, EndTransactionHeader)
        result = header.commit_or_rollback
        if result not in {UNKNOWN, COMMIT, ROLLBACK}:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"`commitOrRollback` is `{result}`: use {COMMIT} to commit, {ROLLBACK} to roll back, or {UNKNOWN} if "
                "the result is not known",
            )
        pending = self._find(request, header.commit_log_offset)
        end = EndOfTransaction(header.producer_group, header.tran_state_table_offset, header.from_transaction_check)
        if result == UNKNOWN:
            if end.from_check:
                self._engine.transactions.require_end(pending, end)
                self.checks.answered(pending)
            return Reply()
        if result == COMMIT:
            self._engine.commit_transaction(pending, end)
        else:
            self._engine.roll_back_transaction(pending, end)
        self.checks.answered(pending)
        return Reply(stored=True)

    def resume(self, request: Request) -> Reply:
        """Begin the checks of a discarded transaction again (323)."""
        header = read(request.command.ext, ResumeCheckHeader)
        place = parse_offset_id(header.msg_id or "")
        if place is None:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"`{header.msg_id or ''}` is not a valid `msgId`: use the 32 or 56 hexadecimal digits of an offset id",
            )
        topic = self._engine.discarded.topic_of(place.physical_offset)
        if topic is None or not is_permitted(request.access, topic, Action.UPDATE):
            raise RequestRefused(ResponseCode.SYSTEM_ERROR, "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed.")
        self._engine.resume_transaction(place.physical_offset)
        return Reply(stored=True)

    def _find(self, request: Request, offset: int) -> PendingTransaction:
        """Return the transaction at an offset.

        Raises:
            RequestRefused: There is none, or the sender may not publish to its topic.
        """
        pending = self._engine.transactions.find(offset)
        if pending is None or not is_permitted(request.access, pending.topic, Action.PUB):
            raise RequestRefused(ResponseCode.SYSTEM_ERROR, NOT_FOUND)
        return pending

    def _send_check(self, channel: Channel, pending: PendingTransaction, message: Record) -> None:
        unique_id = properties.value_of(message.properties.decode(), properties.UNIQ_KEY)
        header = CheckTransactionHeader(
            tran_state_table_offset=pending.number,
            commit_log_offset=pending.offset,
            msg_id=unique_id,
            transaction_id=unique_id,
            offset_msg_id=self._engine.message_id(pending.offset),
            topic=pending.topic,
            bname=self._broker,
        )
        self._client_calls.notify(channel, RequestCode.CHECK_TRANSACTION_STATE, write(header), record.encode(message))
