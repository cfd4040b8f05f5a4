"""BERT itself, whose names are ours. Its file may have our own keys as well, so it can say whatever a mixture is made of."""

from __future__ import annotations

from minibert.pretrained.families.table import OWN, Family

#: Keys that say nothing about what the encoder computes: what transformers 2 to 5 writes into a config.json of its own accord
#: (the keys of its PretrainedConfig and BertConfig, the defaults of generation), and the original releases for the pooler.
IDLE = frozenset("""
    architectures model_type transformers_version _name_or_path name_or_path _commit_hash auto_map custom_pipelines
    torch_dtype dtype use_bfloat16 torchscript xla_device tf_legacy_loss
    attn_implementation _attn_implementation _attn_implementation_internal _attn_implementation_autoset
    _experts_implementation_internal experts_implementation base_model_tp_plan base_model_pp_plan
    return_dict output_attentions _output_attentions output_hidden_states output_past use_cache use_return_dict
    gradient_checkpointing chunk_size_feed_forward pruned_heads tie_word_embeddings tie_encoder_decoder tie_last_hidden_states
    is_decoder is_encoder_decoder add_cross_attention cross_attention_hidden_size decoder position_embedding_type
    finetuning_task num_labels id2label label2id problem_type classifier_dropout task_specific_params tokenizer_class prefix
    bos_token_id eos_token_id sep_token_id cls_token_id mask_token_id unk_token_id decoder_start_token_id
    forced_bos_token_id forced_eos_token_id
    max_length min_length max_new_tokens min_new_tokens max_time do_sample early_stopping num_beams num_beam_groups
    diversity_penalty temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff penalty_alpha repetition_penalty
    encoder_repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids force_words_ids
    num_return_sequences output_scores output_logits return_dict_in_generate remove_invalid_values renormalize_logits
    exponential_decay_length_penalty suppress_tokens begin_suppress_tokens constraints guidance_scale sequence_bias
    cache_implementation cache_config
    directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
""".split())

BERT = Family("bert", "BERT", "Bert", "bert", own=frozenset(OWN))
#: A BERT whose tensors have other shapes, which keys of our own say. transformers refuses it by this name.
MINIBERT = Family("minibert", "minibert", "Bert", "bert", own=frozenset(OWN))
