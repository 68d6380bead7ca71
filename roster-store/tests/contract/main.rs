//! What a store promises, kept by each backend; in `agreement.rs`, that they do so alike; and, in `database.rs`,
//! what only the one with a file can promise.
//!
//! A rule is a function over a [`Stage`]. It runs in memory, in a database, and in a database that is closed and
//! opened again between every two steps.

mod accounts;
mod agreement;
mod archive;
mod database;
mod messages;
mod personal;
mod rosters;
mod stage;

use stage::Stage;

macro_rules! contract {
    ($($room:ident: $($rule:ident),* $(,)?;)*) => {
        mod memory { $($(#[test] fn $rule() { crate::$room::$rule(&mut crate::Stage::memory()); })*)* }
        mod sqlite { $($(#[test] fn $rule() { crate::$room::$rule(&mut crate::Stage::sqlite()); })*)* }
        mod reopened { $($(#[test] fn $rule() { crate::$room::$rule(&mut crate::Stage::reopened()); })*)* }
    };
}

contract! {
    accounts:
        a_new_account_exists_and_is_listed_in_order,
        a_second_account_at_one_address_is_refused,
        credentials_are_those_last_set,
        what_is_unknown_is_not_found,
        the_masking_key_stays,
        a_deleted_account_leaves_nothing_to_its_successor,
        rfc6121_2_5_2_deletion_parts_from_every_contact,
        p08_nothing_granted_to_an_address_passes_on_to_its_next_owner,
        revocations_are_told_once_and_the_last_of_a_kind_counts,
        a_closed_store_refuses;
    rosters:
        rfc6121_2_3_an_item_is_kept_as_it_was_set,
        rfc6121_2_6_versions_rise_without_gaps,
        rfc6121_2_6_an_address_never_has_a_version_twice,
        rfc6121_3_1_a_subscription_from_request_to_agreement,
        rfc6121_3_1_2_a_request_to_another_domain_changes_the_sender_only,
        rfc6121_3_1_3_the_first_request_is_kept_whole_until_answered,
        rfc6121_3_1_3_an_agreed_subscription_answers_by_itself,
        xep0191_3_3_a_request_that_is_not_heard_changes_the_sender_only,
        rfc6121_3_2_denial_and_cancellation,
        rfc6121_3_3_unsubscribing_is_confirmed,
        rfc6121_3_4_a_request_approved_beforehand_is_answered_at_once,
        rfc6121_2_5_removal_ends_both_directions,
        rfc6121_2_5_removal_takes_requests_back,
        rfc6121_2_5_3_what_is_not_listed_cannot_be_removed,
        a_subscription_to_oneself_does_nothing,
        a05_an_address_without_an_account_looks_like_one_that_does_not_answer,
        r03_caps_of_a_roster,
        r03_a_roster_of_long_texts_is_full_before_it_has_all_items,
        r03_strangers_cannot_fill_a_roster,
        r03_a_refused_request_changes_neither_side,
        r08_texts_are_kept_as_they_are,
        p08_all_nine_states_are_kept_on_both_sides;
    messages:
        xep0160_messages_wait_in_order_until_they_are_settled,
        pending_messages_are_read_in_parts,
        r03_pending_messages_are_read_in_parts_that_are_bounded_in_bytes,
        n4_what_one_stanza_puts_is_kept_whole_or_not_at_all,
        n4_a_message_to_oneself_is_two_in_one_transaction,
        xep0313_6_2_ids_are_never_used_again,
        r03_caps_of_offline_messages,
        l16_what_is_archived_needs_no_room_among_what_waits,
        l16_what_a_session_gets_at_once_is_not_refused_for_want_of_room,
        n2_what_is_sent_again_within_a_day_is_kept_once,
        n2_what_only_waits_is_kept_once_even_after_it_has_come,
        n2_what_could_not_be_kept_is_new_the_next_time,
        times_are_kept_to_the_microsecond,
        a_call_takes_its_place_when_it_is_made,
        r08_any_bytes_are_kept;
    archive:
        xep0313_3_what_is_archived_is_read_in_order,
        what_only_waits_is_not_in_the_archive,
        xep0313_4_1_1_a_bare_address_stands_for_all_its_resources,
        xep0313_4_1_2_times_are_inclusive,
        xep0313_3_1_a_clock_that_was_set_back_changes_no_order,
        xep0313_4_1_3_a_range_and_a_list_of_ids,
        xep0313_4_3_2_an_id_that_is_not_in_the_archive_is_not_found,
        xep0313_4_3_pages_from_either_end,
        r03_a_page_is_bounded_in_bytes_and_never_empty_for_that,
        xep0431_words_of_the_body,
        xep0313_5_the_edges_of_an_archive,
        xep0059_2_7_messages_are_counted_where_that_is_cheap,
        xep0313_3_2_the_oldest_go_by_age_and_by_number,
        xep0313_3_2_a_purge_leaves_no_hole,
        retention_does_not_touch_what_only_waits,
        p08_a_large_archive_goes_with_its_account,
        pages_of_a_thousand_messages_are_those_of_a_simple_model;
    personal:
        xep0049_a_document_is_kept_as_it_was_put,
        a_document_is_known_by_namespace_name_and_kind,
        a_document_without_bytes_takes_away_what_was_there,
        r03_caps_of_documents,
        xep0191_a_block_list_is_a_sorted_set,
        xep0191_unblocking_takes_those_named_or_all,
        r03_caps_of_block_lists,
        a_profile_is_roster_and_block_list,
        xep0012_the_last_leave_counts,
        r03_a_long_status_is_cut_at_a_character,
        what_is_personal_is_not_found_without_the_account,
        p08_what_was_personal_goes_with_the_account,
        a_block_takes_its_place_when_it_is_called,
        xep0441_preferences_are_kept_as_a_default_and_two_sorted_lists,
        r03_caps_of_archive_preferences,
        n2_what_was_heard_on_a_stream_is_put_with_the_message,
        xep0198_4_what_was_heard_is_forgotten_once_it_is_handled,
        xep0133_there_is_one_message_of_the_day_at_most;
}
