from argparse import Namespace
from collections import OrderedDict, defaultdict
from dataclasses import make_dataclass, replace

import pytest

from puffer_callbacks.config.redact import REDACTED, Redactor

HIDDEN_NAMES = [
    "api_key",
    "API-KEY",
    "wandb/api_key",
    "apiKey",
    "password",
    "db_passwd",
    "token",
    "hf_token",
    "a/token/b",
]
HIDDEN_NAMES += [
    "accessToken",
    "max_tokens/hf_token",
    "auth_id",
    "githubToken",
    "auth/user",
    "client_secret",
    "AWS_SECRET_ACCESS_KEY",
    "credentials",
]
SHOWN_NAMES = [
    "gamma",
    "keys",
    "tokenizer",
    "author",
    "authored_by",
    "key_dim",
    "Tokens2D",
    "max_token",
    "model/pad_token_id",
    "eos_token",
    "padToken",
    "maxTokens",
    "bosTokenId",
    "token_ids",
]

HASH = "1d04a95c0ffee1d04a95c0ffee1d04a95c0ffee1"  # of a commit, or a key of W&B

HIDDEN_TEXTS = {
    f"commit={HASH} key={HASH}": f"commit={HASH} key={REDACTED}",
    "https://me:hush@host/x": f"https://{REDACTED}@host/x",
    "https://host:8080/x?token=hush&gamma=1": f"https://host:8080/x?token={REDACTED}&gamma=1",
    "--api-key hush --gamma 1": f"--api-key {REDACTED} --gamma 1",
    "--token=hush": f"--token={REDACTED}",
    "{'password': 'hu sh', 'gamma': 1}": f"{{'password': {REDACTED}, 'gamma': 1}}",
    '{"api_key": "hush"}': f'{{"api_key": {REDACTED}}}',
    "Config(api_key='hush', gamma=1)": f"Config(api_key={REDACTED}, gamma=1)",
    "Authorization: Bearer hush": f"Authorization: {REDACTED} {REDACTED}",
    "ghp_" + "hush" * 9: REDACTED,
    "sk-proj-" + "hush" * 9: REDACTED,
    "hf_" + "hush" * 9: REDACTED,
    "AKIA" + "HUSH" * 4: REDACTED,
    "0123456789abcdef0123456789abcdef01234567": REDACTED,
    "eyJhbGciOiJI.eyJzdWIiOiIx.hush": REDACTED,
}
SHOWN_TEXTS = [
    "CartPole-v1",
    "https://host:8080/x?gamma=1",
    "a: b, c=d",
    "[64, 64]",
    "/data/tokens/train.txt",
    "12:30:05",
    "--max-tokens 512 --pad-token-id 0",
    f"git+https://host/me/repo.git@{HASH}",
    f"{{'commit': '{HASH}'}}",
]


@pytest.mark.parametrize("name", HIDDEN_NAMES)
@pytest.mark.parametrize("value", ["hush", 1234, 0.5])
def test_the_value_of_a_secret_name_is_redacted(name, value):
    assert Redactor()(name, value) == REDACTED


@pytest.mark.parametrize("name", ["access_tokens", "api/tokens"])
def test_of_names_of_several_tokens_texts_are_redacted_and_counts_are_shown(name):
    assert (Redactor()(name, "hush"), Redactor()(name, 1234)) == (REDACTED, 1234)


@pytest.mark.parametrize("name", [*SHOWN_NAMES])
def test_the_values_of_other_names_are_shown(name):
    assert Redactor()(name, "shown") == "shown"
    assert Redactor()(name, 0.5) == 0.5


@pytest.mark.parametrize("text", HIDDEN_TEXTS)
def test_a_secret_within_a_text_is_redacted(text):
    assert Redactor()("note", text) == HIDDEN_TEXTS[text]


@pytest.mark.parametrize("text", SHOWN_TEXTS)
def test_other_texts_are_unchanged(text):
    assert Redactor()("note", text) == text


@pytest.mark.parametrize(
    ("name", "value"), [("use_token", True), ("token", ""), ("token", "None"), ("max_tokens", 512)]
)
def test_empty_secrets_are_shown(name, value):
    assert Redactor()(name, value) == value


@pytest.mark.parametrize("name", ["git_commit", "git/revision", "commitHash", "model_sha", "data-sha1", "env/checksum"])
def test_the_hash_of_a_commit_or_file_is_shown(name):
    assert Redactor()(name, HASH) == HASH


def test_a_key_of_a_service_is_no_hash_whatever_its_name():
    assert Redactor()("git_hash", f"sk-{'a1' * 12}") == REDACTED


@pytest.mark.parametrize("name", ["note", "digits", "shape", "wandb/login"])
def test_a_key_of_the_same_form_is_redacted(name):
    assert Redactor()(name, HASH) == REDACTED


def test_names_can_be_given(quiet_trainer):
    redactor = Redactor(["team"])
    assert (redactor("my_TEAM", "blue"), redactor("token", "shown")) == (REDACTED, "shown")
    assert Redactor("team")("team", "blue") == REDACTED
    assert Redactor([])("token", "shown") == "shown"


def test_an_invalid_pattern_raises():
    with pytest.raises(ValueError, match="redact: expected regular expressions"):
        Redactor(["["])


def test_a_nested_configuration_keeps_its_form():
    open_part = {"hidden": (64, 64)}
    config = {
        "gamma": 0.99,
        "net": open_part,
        "services": [{"name": "tracker", "api_key": "hush"}],
        "wandb": Namespace(token="hush", project="p"),
    }
    redacted = Redactor().redact_all(config)
    assert redacted["services"] == [{"name": "tracker", "api_key": REDACTED}]
    assert redacted["wandb"] == Namespace(token=REDACTED, project="p")
    assert redacted["gamma"] == 0.99
    assert redacted["net"] is open_part
    assert config["wandb"].token == "hush"


class Named(dict):
    """A dictionary that cannot be made of its entries alone."""

    def __init__(self, name, **entries):
        super().__init__(**entries)
        self.name = name


class Frozen(dict):
    def __setitem__(self, name, value):
        raise TypeError("it cannot be changed")


@pytest.mark.parametrize(
    "config",
    [
        OrderedDict(api_key="hush", gamma=0.99),
        defaultdict(list, api_key="hush", gamma=0.99),
        Named("mine", api_key="hush", gamma=0.99),
        Frozen(api_key="hush", gamma=0.99),
    ],
)
def test_dictionaries_of_every_kind_are_redacted(config):
    redacted = Redactor().redact_all({"part": config})["part"]
    assert redacted == {"api_key": REDACTED, "gamma": 0.99} and config["api_key"] == "hush"
    assert type(redacted) is (dict if isinstance(config, Frozen) else type(config))
    assert getattr(redacted, "name", None) == getattr(config, "name", None)


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"slots": True}, {"frozen": True, "slots": True}])
def test_dataclasses_of_every_kind_are_redacted(options):
    config = make_dataclass("Config", [("api_key", str), ("gamma", float)], **options)("hush", 0.99)
    assert Redactor().redact_all({"wandb": config}) == {"wandb": replace(config, api_key=REDACTED)}
    assert config.api_key == "hush"


def test_a_configuration_without_a_secret_is_the_same_object():
    config = {"gamma": 0.99, "nan": float("nan"), "deep": [{"er": ("x", None)}]}
    config["self"] = config
    assert Redactor().redact_all(config) is config


def test_of_omegaconf_missing_values_alone_are_left_out():
    create = pytest.importorskip("omegaconf").OmegaConf.create
    hidden = {"hosts": [{"name": "a", "password": "pw"}, "???"], "entity": "???", "refers": "${entity}", "gamma": 0.99}
    redacted = Redactor().redact_all({"cfg": create(hidden), "lr": 0.1})
    assert redacted == {"cfg": {"hosts": [{"name": "a", "password": REDACTED}], "gamma": 0.99}, "lr": 0.1}
    config = {"cfg": create({"gamma": 0.99, "entity": "???"}), "lr": 0.1}
    assert Redactor().redact_all(config) is config
