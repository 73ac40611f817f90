/* The child process that libhdf5 runs in, and how the two talk.
 *
 * libhdf5 1.10 crashes or hangs on crafted files. So a forked child with
 * resource limits makes every call to it; a child that dies is an error
 * message. Questions and answers of fixed size go through a socket, everything
 * long through a memory file that both have open. */
#pragma once

#include "model/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct i3d_hdf5_child {
    pid_t pid;
    int socket;      /* this side's end */
    int memory;      /* the memory file */
    int references;  /* in the parent: who still needs it */
    int64_t loaded;  /* dataset whose elements the memory file holds, or -1 */
};

struct i3d_hdf5_answer {
    int32_t status;  /* enum i3d_status */
    int32_t reason;  /* errno, where the status is I3D_SYSTEM; or 0 */
    uint64_t length; /* bytes in the memory file */
    char message[240];
};

/* What the child does: answers over socket, then returns to end. context is the
 * parent's memory, as it was at the fork. */
typedef void i3d_hdf5_task(int socket, int memory, const void *context);

/* mapped: the bytes of files that the task maps, on top of the memory that it may
 * have for itself. */
enum i3d_status i3d_hdf5_start(i3d_hdf5_task *task, const void *context, uint64_t mapped,
                               struct i3d_hdf5_child **child, struct i3d_error *error);
/* Kills the child when the last reference goes. */
void i3d_hdf5_release(struct i3d_hdf5_child *child);

/* Waits for an answer; one that tells of a failure fills error. A child that
 * died or is silent for very long gives the status `on_death`. */
enum i3d_status i3d_hdf5_await(struct i3d_hdf5_child *child, enum i3d_status on_death,
                               struct i3d_hdf5_answer *answer, struct i3d_error *error);
/* Asks for the elements of a dataset; await the answer. */
enum i3d_status i3d_hdf5_ask(struct i3d_hdf5_child *child, uint64_t dataset,
                             struct i3d_error *error);

/* In the child: how many seconds of work it may do from now on until it is killed.
 * A crafted file can have the library turn in circles for ever. */
void i3d_hdf5_allow_seconds(unsigned seconds);
/* In the child: from now on it can open no file. A crafted file can name others,
 * as external links, external storage or sources of virtual datasets, and what
 * they hold is none of its business. */
void i3d_hdf5_open_no_more(void);
/* In the child: sends an answer, waits for the next question (false: none comes). */
void i3d_hdf5_answer(int socket, const struct i3d_hdf5_answer *answer);
int i3d_hdf5_next_question(int socket, uint64_t *dataset);
