"""The Celery application: one task, JSON only, no results, and a broker that may vanish at any moment."""

from celery import Celery

from backend.messaging.handing_over import KeepingTransport
from backend.messaging.intake import IntakeTransport, Refuse
from backend.messaging.queues import Priority, route

VISIBILITY_TIMEOUT_S = 60  # longer than any unit; the sweeper returns lost work long before
SOCKET_TIMEOUT_S = 2.0  # the transport's own default waits for ever
CONNECT_TIMEOUT_S = 2.0
HEALTH_CHECK_S = 5  # a half-open connection is noticed after about twice that


def celery_app(redis_url: str, refuse: Refuse | None = None) -> Celery:
    """An application on the broker at `redis_url`; not connected yet, and not the process's current one.

    With `refuse` its consumer gets messages of ours only, and `refuse` all others.
    """
    app = Celery("swarmex", broker=redis_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        result_backend=None,
        task_acks_late=True,
        task_create_missing_queues=True,
        task_routes=(route,),
        worker_pool="solo",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        task_send_sent_event=False,
        # Nobody may stop or reconfigure an agent through Redis; that is the manager's business.
        worker_enable_remote_control=False,
        worker_detect_quorum_queues=False,
        worker_hijack_root_logger=False,
        # A worker that loses its broker ends: Celery's own reconnection cannot be interrupted and waits
        # ever longer. The consumer's thread starts a fresh one.
        broker_connection_retry=False,
        broker_connection_retry_on_startup=False,
        broker_connection_timeout=CONNECT_TIMEOUT_S,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": HEALTH_CHECK_S,
            "priority_steps": [int(step) for step in Priority],
            "queue_order_strategy": "priority",
        },
    )
    app.conf.broker_transport = KeepingTransport
    if refuse is not None:
        app.conf.broker_transport = IntakeTransport
        app.conf.broker_transport_options["refuse"] = refuse
    return app
