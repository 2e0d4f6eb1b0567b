"""Names from OpenTelemetry's semantic conventions, all in one place.

The GenAI ones are still in development upstream, so that a rename there is one edit here:
https://opentelemetry.io/docs/specs/semconv/gen-ai/.
"""

GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME = "gen_ai.provider.name"
GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id"
GEN_AI_WORKFLOW_NAME = "gen_ai.workflow.name"
GEN_AI_AGENT_NAME = "gen_ai.agent.name"
GEN_AI_AGENT_VERSION = "gen_ai.agent.version"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_TOOL_NAME = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE = "gen_ai.tool.type"
GEN_AI_TOOL_CALL_ID = "gen_ai.tool.call.id"

OPERATION_CHAT = "chat"
OPERATION_EXECUTE_TOOL = "execute_tool"
OPERATION_INVOKE_AGENT = "invoke_agent"
OPERATION_INVOKE_WORKFLOW = "invoke_workflow"

ERROR_TYPE = "error.type"
RPC_SYSTEM_NAME = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code"

PENTAD_RUN_ID = "pentad.run.id"
PENTAD_RUN_ATTEMPT = "pentad.run.attempt"
PENTAD_TENANT = "pentad.tenant"
PENTAD_TURN = "pentad.turn"
PENTAD_LINKED_SPAN = "pentad.linked_span"
"""Id of a span that this one is linked to, where traces are kept that know no links."""

PENTAD_REPLAYED = "pentad.tool.replayed"
PENTAD_RESPONSE_CACHE = "pentad.response_cache"
