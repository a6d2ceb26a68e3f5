"""What `settled init` writes; deploy/settled.example.toml is the same text."""

EXAMPLE = """\
# Configuration of settled. It starts as it is: in test mode, with servers of its own.
#
# A line that begins with # and no space is a setting: remove the # to use it.
# A secret X may be written as X, as X_env (the name of an environment variable) or as X_file
# (a file). Files and folders are looked up from the folder of this file.
# Durations are ISO 8601 ("PT15M", "P60D") or short ("15m", "60d", "500ms").

[settled]
listen = "127.0.0.1:8080"          # port 0 takes any free one
mode = "test"                      # "live": addresses must be https, webhook tokens long
data_dir = ".settled"              # the embedded servers keep their data here
metrics_public = true              # false: /metrics needs an API key
workers = 2                        # worker processes of `settled up`
web_processes = 1                  # web processes of `settled up`
log = "auto"                       # "json" or "console"; auto: JSON unless on a terminal
#traces = "http://127.0.0.1:4318"  # an OTLP collector; needs pip install 'settled[otel]'
#base_url = "https://pay.example.com"  # how others reach us
#trusted_proxies = ["10.0.0.0/8"]  # whose X-Forwarded-For counts

# Who may call the API and open the console at /console: viewer, erp, operator or admin.
#[[settled.api_keys]]
#name = "erp"
#key_env = "ERP_KEY"
#role = "erp"
#[[settled.api_keys]]
#name = "ops"
#key_env = "OPS_KEY"
#role = "operator"

[database]
url = "embedded"                   # or "postgresql://...", or url_env = "SETTLED_DATABASE_URL"

[redis]
url = "embedded"                   # or "redis://...", or url_env = "SETTLED_REDIS_URL"

# The safety net behind the webhooks: how often we look without being told.
[polling]
open = "PT15M"
processing = "PT5M"
paid = "P1D"                       # until settled, and for refunds and reversals
max_age = "P60D"                   # how long a final request is watched
sweep = "PT5M"                     # how often we list changes, where the provider can list
sweep_lookback = "P7D"             # how far back the first list goes
silent_changes = 10                # found by looking, told by no webhook: the account is silent

# How long we keep what. A year counts 365 days and a month 30.
[privacy]
raw_bodies = "P30D"
facts = "P10Y"

# Every night the last 7 days are compared with the providers, and what drifted is repaired.
[reconcile]
at = "02:30"                       # UTC; or "never"

# One [[account]] for each set of credentials. Its address for the provider's webhooks is
# /webhooks/NAME, with /TOKEN behind it where the account has a webhook token.

# Ginger (EMS Online, ING Checkout). It signs nothing: live mode asks for a webhook token.
#[[account]]
#name = "ginger-nl"
#provider = "ginger"
#api_base = "https://api.online.emspay.eu"
#api_key_env = "GINGER_KEY"
#project_ids = ["405d8375-3514-403b-8c43-83ae74cfe0e9"]
# The rest may stand at any account, whatever its provider:
#webhook_token_env = "GINGER_HOOK"  # 16 URL-safe characters or more
#webhook_allow_from = ["192.0.2.0/24"]  # networks that its webhooks come from
#limit = "5/s"                     # our call budget there, shared by all workers; also "3/3s"
#discover = true                   # false: only what the ERP registered is recorded and told
#reference_from = "merchant_order_id"  # the provider's field that holds the ERP's reference
#words = { sent_to_bank = "processing" }  # provider word -> our status, over the built-in table
#paid_is_settled = false           # true: what is paid is on the payee's account at once
#timeout = "PT10S"                 # of one call to the provider
#allow_insecure = false            # true: an api_base without https, even in live mode

# GoCardless, billing requests.
#[[account]]
#name = "gc-live"
#provider = "gocardless"
#api_base = "https://api.gocardless.com"
#access_token_env = "GC_TOKEN"
#webhook_secrets_env = ["GC_HOOK_NEW", "GC_HOOK_OLD"]  # all count during a rotation
#organisation_id = "OR123"         # a partner's app: events of other organisations are set aside

# bunq, request inquiries. Its calls prove nothing: live mode asks for a webhook token.
#[[account]]
#name = "bunq-main"
#provider = "bunq"
#api_base = "https://api.bunq.com/v1"
#api_key_env = "BUNQ_KEY"
#user_id = 42
#monetary_account_id = 12345
#server_public_key_file = "secrets/bunq_server.pem"  # or a list: any of them counts
#require_signed_answers = false    # true: an answer without a signature is not believed
#require_signed_calls = false      # true: a webhook without a signature is refused
#permitted_ips = ["203.0.113.10"]  # what the API key is tied to; default: our own
#device_description = "settled"
#webhook_token_env = "BUNQ_HOOK"
#webhook_allow_from = ["185.40.108.0/22"]
#limit = "3/3s"

# ING Payment Request.
#[[account]]
#name = "ing"
#provider = "ing_payment_request"
#api_base = "https://api.ing.com"
#client_id_env = "ING_CLIENT"
#tls_certificate_file = "secrets/ing-tls.pem"
#tls_key_file = "secrets/ing-tls.key"
#signing_key_file = "secrets/ing-sign.key"

# Payment requests API, version 2: payment orders of our own, direction out.
#[[account]]
#name = "partner"
#provider = "payment_requests_v2"
#api_base = "https://api.partner.example/api/v2"
#api_token_file = "secrets/partner.token"
#client_account_id = 123

# One [[endpoint]] for each receiver of notifications.
#[[endpoint]]
#name = "erp"
#kind = "webhook"                  # or "recipe", "file", "stream"
#url = "https://erp.example.com/hooks/payments"
#secrets_env = ["ERP_WHSEC", "ERP_WHSEC_OLD"]  # "whsec_" and base64; the first signs first
#body = "settled"                  # or "cloudevents"
#accounts = ["*"]
#types = ["payment_request.*", "order.*"]
#timeout = "PT20S"
#rate = "50/s"
#concurrency = 10
#compact = false                   # true: after a stop only the newest of each request goes out
#allow_private = false             # true: the ERP is in our own network
#allow_insecure = false            # true: a url without https, even in live mode
#retry = ["PT0S", "PT5S", "PT5M"]  # in place of the built-in schedule of 6 days
#signing_key_env = "ERP_ED25519"   # adds a v1a signature (ed25519): "whsk_" and base64 of 32 bytes
#client_certificate_file = "secrets/erp.pem"  # shown to an ERP that asks for one; PEM
#client_key_file = "secrets/erp.key"          # without a passphrase

# An ERP that takes no webhooks is told by a recipe: a few calls of its own API. accounts, types,
# timeout, rate, concurrency, retry, allow_private and allow_insecure are as above.
#[[endpoint]]
#name = "tryton"
#kind = "recipe"
#recipe = "tryton-8"               # built in, or the path of your own, such as "erp.toml"
#url = "https://tryton.example.com"
#book_at = "settled"               # the money is on your account; or "paid": the payer has paid
#parameters = { database = "books" }  # what the recipe asks for, and so user, password, token
#user = "settled"
#password_env = "TRYTON_PASSWORD"
#token_env = "ERP_TOKEN"

# Files in a folder that is there, each with its sha256 beside it.
#[[endpoint]]
#name = "files"
#kind = "file"
#folder = "/srv/erp/in"
#format = "csv"                    # or "jsonl": one message a line, as a webhook would get it
#every = "PT15M"                   # from midnight in UTC on; without it at once

# Entries of a Redis stream, with the fields id, type and body.
#[[endpoint]]
#name = "stream"
#kind = "stream"
#stream = "settled:notifications"
#redis_url_env = "ERP_REDIS_URL"   # the ERP's own; without it ours, which promises to keep nothing
#max_length = 100000               # about as many are kept; without it all
"""
