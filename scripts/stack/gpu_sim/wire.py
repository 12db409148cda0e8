"""The messages of Nomad's plugin protocol that a device plugin needs.

Only numbers and types travel, so one package of them serves for the protocol's several.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "yurt_gpu_sim"


@dataclass(frozen=True)
class Field:
    """A field of a message.

    Attributes:
        kind: a word of `KINDS`, or the name of a message.
        choice: the alternatives that it is one of.
    """

    number: int
    kind: str
    repeated: bool = False
    map: bool = False
    choice: str | None = None


KINDS = {
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}

MESSAGES: dict[str, dict[str, Field]] = {
    "Empty": {},
    "Health": {"status": Field(1, "int32")},
    "PluginInfo": {
        "type": Field(1, "int32"),
        "plugin_api_versions": Field(2, "string", repeated=True),
        "plugin_version": Field(3, "string"),
        "name": Field(4, "string"),
    },
    "SetConfig": {"msgpack_config": Field(1, "bytes")},
    "ConfigSchema": {"spec": Field(1, "Spec")},
    "Spec": {"object": Field(1, "Object", choice="block"), "attr": Field(3, "Attr", choice="block")},
    "Object": {"attributes": Field(1, "Spec", map=True)},
    "Attr": {"name": Field(1, "string"), "type": Field(2, "string"), "required": Field(3, "bool")},
    "Fingerprint": {"device_group": Field(1, "DeviceGroup", repeated=True)},
    "DeviceGroup": {
        "vendor": Field(1, "string"),
        "device_type": Field(2, "string"),
        "device_name": Field(3, "string"),
        "devices": Field(4, "Device", repeated=True),
        "attributes": Field(5, "Attribute", map=True),
    },
    "Device": {"id": Field(1, "string"), "healthy": Field(2, "bool"), "health_description": Field(3, "string")},
    "Attribute": {
        "float_val": Field(1, "double", choice="value"),
        "int_val": Field(2, "int64", choice="value"),
        "string_val": Field(3, "string", choice="value"),
        "bool_val": Field(4, "bool", choice="value"),
        "unit": Field(5, "string"),
    },
    "ReserveRequest": {"device_ids": Field(1, "string", repeated=True)},
    "ReserveResponse": {"container_res": Field(1, "Reservation")},
    "Reservation": {"envs": Field(1, "string", map=True)},
}


def _set_type(described: FieldDescriptorProto, kind: str) -> None:
    if kind in KINDS:
        described.type = KINDS[kind]
    else:
        described.type = FieldDescriptorProto.TYPE_MESSAGE
        described.type_name = f".{PACKAGE}.{kind}"


def _add_map(message: DescriptorProto, name: str, kind: str) -> str:
    """Add the entry type of a map from text, which protobuf finds by its name."""
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=FieldDescriptorProto.LABEL_OPTIONAL, type=KINDS["string"])
    _set_type(entry.field.add(name="value", number=2, label=FieldDescriptorProto.LABEL_OPTIONAL), kind)
    return f"{message.name}.{entry.name}"


def _describe(name: str, fields: dict[str, Field]) -> DescriptorProto:
    message = DescriptorProto(name=name)
    choices = list(dict.fromkeys(field.choice for field in fields.values() if field.choice))
    for choice in choices:
        message.oneof_decl.add(name=choice)
    for field_name, field in fields.items():
        many = field.repeated or field.map
        label = FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL
        described = message.field.add(name=field_name, number=field.number, label=label)
        _set_type(described, _add_map(message, field_name, field.kind) if field.map else field.kind)
        if field.choice:
            described.oneof_index = choices.index(field.choice)
    return message


def _classes() -> dict[str, Any]:
    file = FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    file.message_type.extend(_describe(name, fields) for name, fields in MESSAGES.items())
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


_MADE = _classes()

Empty = _MADE["Empty"]
Health = _MADE["Health"]
PluginInfo = _MADE["PluginInfo"]
SetConfig = _MADE["SetConfig"]
ConfigSchema = _MADE["ConfigSchema"]
Spec = _MADE["Spec"]
Object = _MADE["Object"]
Attr = _MADE["Attr"]
Fingerprint = _MADE["Fingerprint"]
DeviceGroup = _MADE["DeviceGroup"]
Device = _MADE["Device"]
Attribute = _MADE["Attribute"]
ReserveRequest = _MADE["ReserveRequest"]
ReserveResponse = _MADE["ReserveResponse"]
Reservation = _MADE["Reservation"]
