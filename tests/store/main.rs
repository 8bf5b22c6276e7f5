//! What every store must do, whatever its engine, and what the sled engine must do besides.
//!
//! A conformance test takes any store, fresh and empty. A second engine adds one line to `engines!`; a
//! test that no engine runs is dead code, which the build refuses.

#![cfg(test)]

mod fixture;

mod audit;
mod concurrency;
mod dump;
mod export;
mod posts;
mod server;
mod sessions;
mod sweep;
mod throttle;
mod tokens;
mod users;

mod sled_check;
mod sled_churn;
mod sled_corrupt;
mod sled_directory;
mod sled_failure;
mod sled_import;
mod sled_kill;
mod upgrade;

/// One test for each conformance test named, on a store that `$open` makes.
macro_rules! conformance {
    ($open:path; $($module:ident { $($test:ident),+ $(,)? })+) => {$(
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    let (store, _directory) = $open();
                    crate::$module::$test(store).await;
                }
            )+
        }
    )+};
}

macro_rules! engines {
    ($($engine:ident = $open:path),+ $(,)?) => {$(
        mod $engine {
            conformance! { $open;
                users {
                    a_user_is_found_by_id_and_by_name,
                    a_name_is_taken_once,
                    the_same_user_again_is_accepted,
                    users_are_listed_by_name_in_pages,
                    an_update_sets_the_given_fields_and_no_other,
                    an_update_of_nobody_is_refused,
                    an_update_expecting_another_hash_is_refused_whole,
                    a_deletion_expecting_another_hash_is_refused,
                    a_change_allowed_by_roles_the_user_no_longer_has_is_refused,
                    a_user_who_ends_all_sessions_hinders_no_change_by_others,
                    a_change_by_somebody_whose_standing_has_changed_is_refused,
                    a_deleted_user_is_gone_and_its_name_is_free,
                    deleting_nobody_is_refused,
                    the_last_administrator_can_be_neither_disabled_nor_demoted_nor_deleted,
                    a_step_refused_halfway_leaves_nothing_behind,
                    an_administrator_beside_another_can_go,
                    without_administrators_anybody_can_go,
                }
                sessions {
                    a_session_opens_and_is_found_with_its_user,
                    a_session_opened_again_is_the_same_one,
                    a_session_of_another_epoch_does_not_open,
                    a_session_of_a_disabled_or_deleted_user_does_not_open,
                    an_expired_session_is_not_found,
                    ending_a_session_says_whether_it_lived,
                    ending_for_a_token_takes_a_token_that_lives,
                    ending_all_sessions_ends_each,
                    ending_all_but_one_spares_that_one,
                    sparing_a_session_that_is_dead_is_refused,
                    enabling_a_user_revives_no_session,
                    a_deleted_users_session_is_dead_at_once,
                    the_least_recently_used_session_gives_way_at_the_limit,
                    a_session_that_gives_way_is_noted,
                    dead_sessions_do_not_count_for_the_limit,
                    a_touch_moves_the_last_use_and_nothing_else,
                    a_touch_revives_nothing,
                    sessions_are_listed_oldest_first,
                }
                tokens {
                    a_token_of_the_current_pair_lives_and_a_strange_one_does_not,
                    a_rotation_moves_the_session_on,
                    the_replaced_pair_is_borne_with_through_the_grace,
                    a_used_up_token_ends_the_session_and_is_noted,
                    a_rotation_repeated_after_a_lost_answer_is_the_same,
                    a_dead_session_does_not_rotate,
                    a_rotation_moves_the_deadline,
                }
                sweep {
                    what_lives_is_not_swept,
                    an_expired_session_is_kept_for_seventy_seconds,
                    expired_sessions_are_swept_within_the_limit,
                    a_session_that_moved_its_deadline_is_not_swept_by_the_old_one,
                    refreshed_sessions_are_swept_at_their_last_deadline_and_no_sweep_lasts_for_ever,
                    a_shortened_deadline_is_swept_at_its_time,
                    what_a_deleted_user_left_is_swept,
                    audit_events_are_kept_for_ninety_days,
                }
                posts {
                    a_post_is_found_with_its_author,
                    a_post_of_nobody_is_refused,
                    the_same_post_again_is_accepted,
                    posts_are_listed_newest_first_in_pages,
                    an_update_replaces_the_text,
                    an_update_of_no_post_is_refused,
                    a_deleted_post_is_gone,
                    posts_of_a_deleted_user_are_gone_at_once,
                }
                audit {
                    events_are_written_with_their_step_and_listed_in_order,
                    a_refused_step_writes_no_event,
                }
                export {
                    all_users_posts_and_events_are_read_out,
                    what_changes_meanwhile_is_read_out_as_it_is_in_the_end,
                    what_several_change_at_once_is_read_out_as_of_one_moment,
                    posts_of_a_deleted_user_are_not_read_out,
                    only_so_many_read_out_at_a_time,
                    a_closed_store_reads_nothing_out,
                }
                server {
                    signing_keys_are_replaced_by_version,
                    a_stale_version_replaces_no_keys,
                    the_clock_mark_never_falls,
                    a_store_knows_whether_it_has_users,
                    a_closed_store_is_unavailable,
                    closing_twice_is_closing_once,
                }
                throttle {
                    of_64_attempts_at_once_the_free_ones_go,
                    a_wait_is_read_and_ends_at_its_instant,
                    a_lock_is_noted_once_and_lifted_by_the_operator,
                    only_a_user_can_be_unlocked,
                    strangers_are_counted_as_users_are,
                    nothing_is_remembered_of_a_deleted_user,
                    the_key_of_names_is_the_first_one,
                }
                concurrency {
                    of_64_tasks_that_register_one_name_one_wins,
                    of_1000_rotations_of_one_token_one_rotates,
                    a_login_racing_a_disabling_never_lives_on,
                    a_rotation_racing_an_end_of_all_sessions_never_lives_on,
                    two_administrators_demoting_each_other_leave_one,
                    concurrent_logins_never_exceed_the_limit,
                    a_spared_session_is_never_seen_dead,
                }
            }
        }
    )+};
}

engines! { sled = crate::fixture::sled }
