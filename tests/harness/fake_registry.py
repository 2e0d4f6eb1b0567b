"""The registry in memory: it knows whom a test lists, and forgets nobody by itself."""

from google.protobuf.timestamp_pb2 import Timestamp
from harness.fakes import fault

from pentad.state.v1 import registry_service_pb2 as pb
from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceServicer
from pentad_chassis.errors import Unavailable


class FakeRegistry(RegistryServiceServicer):
    """Instances of one service."""

    def __init__(self, *instances: pb.Instance) -> None:
        self.instances: dict[str, pb.Instance] = {}
        self.away = False
        """Everything fails with STORE_UNAVAILABLE."""
        self.registered: list[pb.RegisterRequest] = []
        self.listings = 0
        for instance in instances:
            self.put(instance)

    def put(self, instance: pb.Instance) -> None:
        """List an instance, or take a sign of life of it."""
        known = self.instances.get(instance.instance_id)
        now = Timestamp()
        now.GetCurrentTime()
        listed = self.instances[instance.instance_id] = pb.Instance()
        listed.CopyFrom(instance)
        listed.create_time.CopyFrom(known.create_time if known else now)
        listed.update_time.CopyFrom(now)

    async def Register(self, request: pb.RegisterRequest, context: object) -> pb.RegisterResponse:
        self._check()
        self.registered.append(request)
        self.put(request.instance)
        return pb.RegisterResponse()

    async def Deregister(
        self, request: pb.DeregisterRequest, context: object
    ) -> pb.DeregisterResponse:
        self._check()
        self.instances.pop(request.instance_id, None)
        return pb.DeregisterResponse()

    async def ListInstances(
        self, request: pb.ListInstancesRequest, context: object
    ) -> pb.ListInstancesResponse:
        self.listings += 1
        self._check()
        return pb.ListInstancesResponse(instances=self.instances.values())

    def _check(self) -> None:
        if self.away:
            raise fault(Unavailable, "STORE_UNAVAILABLE")
