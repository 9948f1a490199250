"""Ready-made permissions by task: the one source of the options of commands and of the page `rights-by-task`.

Resources and actions are texts, so that the help of commands needs no further module.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

TOPIC, GROUP, CLUSTER = "TOPIC", "GROUP", "CLUSTER"
"""Placeholders in the resources of a task."""


class Task(NamedTuple):
    """A task of a client, with the permissions that it needs and no more.

    Attributes:
        name: Name of the task, which is also the name of the option.
        title: The task in a few words.
        help: Help of the option.
        permissions: Resources with placeholders, each with its actions, which commas separate.
        notes: Remarks for the page.
    """

    name: str
    title: str
    help: str
    permissions: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def needs_topic(self) -> bool:
        """True if the task is about a topic."""
        return any(TOPIC in resource for resource, _ in self.permissions)

    @property
    def needs_group(self) -> bool:
        """True if the task needs a consumer group."""
        return any(GROUP in resource for resource, _ in self.permissions)

    def filled(
        self, topics: Iterable[str] = (TOPIC,), groups: Iterable[str] = (GROUP,), cluster: str = CLUSTER
    ) -> Iterator[tuple[str, str]]:
        """Yield the permissions for topics, groups and a cluster, resources that repeat included."""
        for resource, actions in self.permissions:
            if TOPIC in resource:
                yield from ((resource.replace(TOPIC, name), actions) for name in topics)
            elif GROUP in resource:
                yield from ((resource.replace(GROUP, name), actions) for name in groups)
            else:
                yield resource.replace(CLUSTER, cluster), actions


_READS_ALL = (
    (f"Cluster:{CLUSTER}", "Get,List"),
    ("Topic:*", "Get"),
    ("Group:*", "Get"),
)

TASKS = (
    Task(
        "producer",
        "Send messages to a topic",
        "Permissions to send to this topic; repeatable.",
        ((f"Topic:{TOPIC}", "Pub"),),
        (
            "Ordered, delayed, batch and recalled messages need nothing more. A producer group is not a resource.",
            "The topic must exist. If sending shall create it, the user also needs `Create` on it.",
        ),
    ),
    Task(
        "consumer",
        "Receive messages of a topic in a consumer group",
        "Permissions to receive from this topic, with `--group`; repeatable.",
        ((f"Topic:{TOPIC}", "Sub"), (f"Group:{GROUP}", "Sub")),
        (
            "Both permissions are needed: one alone receives nothing.",
            "The retry topic and the dead-letter topic of a group belong to the group, so they need no entry.",
            "Push, pull, pop and broadcasting consumers need the same permissions.",
        ),
    ),
    Task(
        "requester",
        "Send requests and receive the replies (request-reply)",
        "Permissions to send requests to this topic and to receive the replies; repeatable.",
        ((f"Topic:{TOPIC}", "Pub"),),
        ("The replies come over the connection that sent the request, so no group and no reply topic is needed.",),
    ),
    Task(
        "replier",
        "Receive requests and reply to them (request-reply)",
        "Permissions to receive requests from this topic and to reply, with `--group`; repeatable.",
        ((f"Topic:{TOPIC}", "Sub"), (f"Group:{GROUP}", "Sub")),
        (
            (
                "A reply to a request that the user may receive needs no permission on `<cluster>_REPLY_TOPIC`. "
                "Apache's brokers need `Pub` on that topic."
            ),
        ),
    ),
    Task(
        "transactions",
        "Send transactional messages to a topic",
        "Permissions to send transactional messages to this topic; repeatable.",
        ((f"Topic:{TOPIC}", "Pub"),),
        (
            (
                "Committing, rolling back and answering a check need `Pub` on the topic of the message. The "
                "topics of half messages need no entry, and only Super users may read them."
            ),
            "Create the topic with `mqguard topic create NAME --type TRANSACTION`.",
        ),
    ),
    Task(
        "stream-source",
        "Read a topic in a stream processor, such as Flink or RocketMQ Streams",
        "Permissions for a stream processor to read this topic, with `--group`; repeatable.",
        ((f"Topic:{TOPIC}", "Sub,Get"), (f"Group:{GROUP}", "Sub,Get")),
        ("Stream processors also read the offsets and the statistics of topics and groups, which needs `Get`.",),
    ),
    Task(
        "stream-sink",
        "Write to a topic from a stream processor",
        "Permissions for a stream processor to write to this topic; repeatable.",
        ((f"Topic:{TOPIC}", "Pub"),),
    ),
    Task(
        "exporter",
        "Export metrics (rocketmq-exporter, `mqguard status`, `mqguard consumer lag`)",
        "Permissions to read the state of the cluster, of topics and of groups.",
        _READS_ALL,
        (
            (
                "`Get` on a topic also allows viewing single messages by id or by key. To prevent that for a "
                "topic, use `mqguard acl add User:NAME -r Topic:SECRET -a Get -d Deny`; its statistics are then "
                "hidden too."
            ),
            (
                "The exporter reads one message for `rocketmq_group_get_latency_by_storetime`, as the group "
                "`TOOLS_CONSUMER`. Without `--consumer TOPIC --group TOOLS_CONSUMER` this metric is missing, and all "
                "others are there."
            ),
            (
                "The exporter logs an error (code 16) for each topic of waiting messages, such as "
                "`SCHEDULE_TOPIC_XXXX`, because only Super users may read these."
            ),
            (
                "`Cluster` `Get` also allows listing users and policies, without the secrets: RocketMQ has one action "
                "for all of these, so no smaller right serves an exporter. Limit it to the address of the exporter "
                "with `-i ADDRESS`."
            ),
        ),
    ),
    Task(
        "dashboard",
        "Look at everything in rocketmq-dashboard, and change nothing",
        "Permissions to look at everything and to change nothing.",
        _READS_ALL,
        (
            (
                "Listing the messages of a topic page by page needs more, because the dashboard reads them as "
                "the group `TOOLS_CONSUMER`: add `--consumer TOPIC --group TOOLS_CONSUMER`."
            ),
            (
                "Changing topics and groups needs `Create`, `Update` and `Delete` on them. Pages with the "
                "configuration of a broker need a Super user."
            ),
        ),
    ),
)
"""Every task. The order is that of the page and of the help."""

BY_NAME: Mapping[str, Task] = {task.name: task for task in TASKS}
