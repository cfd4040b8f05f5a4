"""Records as TensorFlow's schema reads them, and the reference's demonstration: twenty steps on records of its sample text."""

import argparse
import struct

import numpy as np
import pytest

from minibert.commands import prepare as arguments_of
from minibert.data.prepared import shards, tf_example
from minibert.data.prepared.instances import padded
from minibert.model import pretraining
from minibert.tasks.batches import micro_batches
from minibert.tasks.prepared import Stream
from minibert.text import Tokenizer
from minibert.training import prepare
from minibert.training.adamw import AdamW
from tests import tiny_model
from tests.data.test_prepared import BY_OTHERS, PADDING, VOCAB, examples
from tests.model.examples import small_config
from tests.training.examples import NO_DROPOUT, engine

descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
from google.protobuf import descriptor_pool, message_factory  # noqa: E402


@pytest.fixture(scope="module")
def schema():
    """``tf.train.Example`` of the protobuf library, after TensorFlow's example.proto and feature.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tf", syntax="proto3")
    kinds = {"BytesList": 12, "FloatList": 2, "Int64List": 3}  # TYPE_BYTES, TYPE_FLOAT, TYPE_INT64
    for name, kind in kinds.items():
        file.message_type.add(name=name).field.add(name="value", number=1, label=3, type=kind)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(zip(("bytes_list", "float_list", "int64_list"), kinds), start=1):
        feature.field.add(name=name, number=number, label=1, type=11, type_name=f".tf.{kind}", oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=".tf.Feature")
    features.field.add(name="feature", number=1, label=3, type=11, type_name=".tf.Features.FeatureEntry")
    file.message_type.add(name="Example").field.add(name="features", number=1, label=1, type=11, type_name=".tf.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tf.Example"))


def records(path, schema):
    """The features of every record of a file, without any line of ours: name -> list of numbers."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        length, = struct.unpack_from("<Q", data, at)
        parsed = schema.FromString(data[at + 12:at + 12 + length])
        found.append({name: list((feature.int64_list if feature.HasField("int64_list") else feature.float_list).value)
                      for name, feature in parsed.features.feature.items()})
        at += length + 16
    return found


def test_what_is_written_here_is_an_example(schema, tmp_path):
    tf_example.write(tmp_path / "a.tfrecord", examples(), VOCAB, PADDING)
    fields = padded(examples(), PADDING, VOCAB.pad_id)
    assert records(tmp_path / "a.tfrecord", schema) == [{name: np.atleast_1d(column[row]).tolist() for name, column in
                                                         fields.items()} for row in range(11)]


def test_what_the_protobuf_library_writes_is_read(schema):
    message = schema()
    message.features.feature["a"].int64_list.value.extend([0, 127, 128, 2**40, -1, -2**63])
    message.features.feature["b"].float_list.value.extend([0.0, 1.5])
    found = tf_example.features(message.SerializeToString(), "it")
    values, _ = tf_example._rectangle([found["a"][1]], 3, ["it"])
    assert values.tolist() == [[0, 127, 128, 2**40, -1, -2**63]]
    assert tf_example._rectangle([found["b"][1]], 2, ["it"])[0].tolist() == [[0.0, 1.5]]


# The demonstration


STEPS, WARMUP, RATE = 20, 10, 2e-5
REFERENCE = AdamW(weight_decay=0.01, bias_correction=False)


def rate(step):
    """Of step ``step``, counted from 0, as in ``optimization.py``: the first step has none."""
    return RATE * step / WARMUP if step < WARMUP else RATE * (1 - step / STEPS)


def ours(config, parameters, path, tokenizer, dtype, batch_size, factor):
    """The losses of twenty steps on a file of records, read as ``train`` reads them, and the ids that each step read."""
    found = shards.find([str(path)], 0.01, 0)
    part = found.train._replace(aside=[0] * len(found.train.blocks))
    stream = Stream(part, tokenizer, max_length=config.max_position_embeddings, batch_size=batch_size, seed=0)
    position, losses, read = (0, 0), [], []
    with engine(config, 2, parameters=parameters.astype(dtype), optimiser=REFERENCE, clip_norm=1.0) as e:
        for step in range(STEPS):
            batch, position = stream.batch(position)
            read.append([one.ids.tolist() for one in batch])
            metrics, _ = e.train(micro_batches(batch, 2048), factor * rate(step))
            losses.append(metrics.loss)
    return np.array(losses), read


def theirs(config, parameters, path, schema, dtype, read, factor):
    """The same by transformers and the protobuf library's records; ``read``: which of them, by their ids."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from tests.oracle import test_training
    from tests.oracle.test_model import reference

    every = {tuple(one["input_ids"][:sum(one["input_mask"])]): one for one in records(path, schema)}
    network, named = reference(transformers.BertForPreTraining, config, parameters, dtype)
    decayed, rest = ([p for name, p in named.items() if (name.endswith("bias") or "LayerNorm" in name) == plain]
                     for plain in (False, True))
    step_with = test_training.reference_adam(decayed, rest, REFERENCE.weight_decay)
    cross_entropy, losses = torch.nn.functional.cross_entropy, []
    for step, wanted in enumerate(read):
        batch = {name: torch.tensor([every[tuple(ids)][name] for ids in wanted]) for name in next(iter(every.values()))}
        asked = batch["masked_lm_weights"] == 1
        network.zero_grad()
        hidden, pooled = network.bert(batch["input_ids"], attention_mask=batch["input_mask"],
                                      token_type_ids=batch["segment_ids"])[:2]
        rows, nth = asked.nonzero(as_tuple=True)
        chosen = hidden[rows, batch["masked_lm_positions"][rows, nth]]  # as the reference gathers them: the others cost much
        loss = (cross_entropy(network.cls.predictions(chosen), batch["masked_lm_ids"][asked])
                + cross_entropy(network.cls.seq_relationship(pooled), batch["next_sentence_labels"][:, 0]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        step_with(factor * rate(step))
        losses.append(loss.item())
    return np.array(losses)


TOLERANCES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-5)],
                                     ids=["float64", "float32"])


@TOLERANCES
def test_twenty_steps_on_the_records_that_the_reference_wrote(dtype, tolerance, schema):
    """Eleven short ones, again and again, at 100 times the rate."""
    [path] = BY_OTHERS.glob("reference-*/examples.tfrecord")
    config, parameters, tokenizer = tiny_model.make(**NO_DROPOUT)
    mine, read = ours(config, parameters, path, tokenizer, dtype, 8, 100)
    assert mine[-1] < 0.9 * mine[0]
    assert np.abs(mine - theirs(config, parameters, path, schema, dtype, read, 100)).max() <= tolerance


@pytest.mark.parametrize(("dtype", "tolerance", "factor"), [
    (np.float64, 1e-11, 1), (np.float64, 1e-11, 100), (np.float32, 1e-5, 1)],
                         ids=["float64", "float64, 100 times the rate", "float32"])
def test_twenty_steps_on_records_of_the_sample_text(dtype, tolerance, factor, schema, shared_data, tmp_path):
    """As the demonstration has it: 128 tokens, 20 to be guessed, five versions, 32 at a time, ten steps of warm-up to 2e-5.

    Its model is trained already; one that begins at random learns something at 100 times that rate.
    """
    parser = argparse.ArgumentParser()
    arguments_of.add_arguments(parser)
    assert prepare.run(parser.parse_args([
        "--format", "tfrecord", "--corpus", str(shared_data / "corpora" / "google_bert_sample_text.txt"), "--layout", "lines",
        "--vocab-size", "1000", "--max-length", "128", "--dupe-factor", "5", "--seed", "12345",
        "--out", str(tmp_path / "out")])) == 0
    tokenizer = Tokenizer.load(tmp_path / "out")
    config = small_config(vocab_size=len(tokenizer.vocab), max_position_embeddings=128, hidden_size=24, intermediate_size=48,
                          **NO_DROPOUT)
    parameters = pretraining.initial_parameters(config)
    [path] = (tmp_path / "out").glob("train-*")
    mine, read = ours(config, parameters, path, tokenizer, dtype, 32, factor)
    assert np.abs(mine - theirs(config, parameters, path, schema, dtype, read, factor)).max() <= tolerance
    assert mine[-1] < mine[0]
