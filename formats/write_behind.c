#include "formats/write_behind.h"

#include <pthread.h>
#include <stdlib.h>

struct i3d_write_behind {
    struct i3d_output *output;
    pthread_t thread;
    bool has_thread, ends;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned char *pieces[2];
    int next;      /* the piece that is being filled; the other one is written */
    size_t length; /* of what is written; 0: nothing */
    uint64_t offset;
    enum i3d_status status;
    struct i3d_error error;
};

static void *write_pieces(void *context)
{
    struct i3d_write_behind *behind = context;
    pthread_mutex_lock(&behind->lock);
    while (!behind->ends || behind->length) {
        if (!behind->length) {
            pthread_cond_wait(&behind->changed, &behind->lock);
            continue;
        }
        pthread_mutex_unlock(&behind->lock);
        enum i3d_status status =
            i3d_output_write_at(behind->output, behind->offset, behind->pieces[!behind->next],
                                behind->length, &behind->error);
        pthread_mutex_lock(&behind->lock);
        behind->status = status;
        behind->length = 0;
        pthread_cond_signal(&behind->changed);
    }
    pthread_mutex_unlock(&behind->lock);
    return NULL;
}

enum i3d_status i3d_write_behind_new(struct i3d_output *output, struct i3d_write_behind **made,
                                     struct i3d_error *error)
{
    struct i3d_write_behind *behind = *made = calloc(1, sizeof *behind);
    if (!behind)
        return i3d_fail_memory(error);
    behind->output = output;
    pthread_mutex_init(&behind->lock, NULL);
    pthread_cond_init(&behind->changed, NULL);
    behind->pieces[0] = malloc(I3D_WRITE_BEHIND_PIECE);
    behind->pieces[1] = malloc(I3D_WRITE_BEHIND_PIECE);
    behind->has_thread = behind->pieces[0] && behind->pieces[1]
        && !pthread_create(&behind->thread, NULL, write_pieces, behind);
    if (behind->has_thread)
        return I3D_OK;
    i3d_write_behind_free(behind);
    *made = NULL;
    return i3d_fail_memory(error);
}

void i3d_write_behind_free(struct i3d_write_behind *behind)
{
    if (!behind)
        return;
    if (behind->has_thread) {
        pthread_mutex_lock(&behind->lock);
        behind->ends = true;
        pthread_cond_signal(&behind->changed);
        pthread_mutex_unlock(&behind->lock);
        pthread_join(behind->thread, NULL);
    }
    pthread_cond_destroy(&behind->changed);
    pthread_mutex_destroy(&behind->lock);
    free(behind->pieces[0]);
    free(behind->pieces[1]);
    free(behind);
}

unsigned char *i3d_write_behind_piece(struct i3d_write_behind *behind)
{
    return behind->pieces[behind->next];
}

enum i3d_status i3d_write_behind_wait(struct i3d_write_behind *behind, struct i3d_error *error)
{
    pthread_mutex_lock(&behind->lock);
    while (behind->length)
        pthread_cond_wait(&behind->changed, &behind->lock);
    enum i3d_status status = behind->status;
    if (status && error)
        *error = behind->error;
    pthread_mutex_unlock(&behind->lock);
    return status;
}

enum i3d_status i3d_write_behind_put(struct i3d_write_behind *behind, uint64_t offset,
                                     size_t length, struct i3d_error *error)
{
    enum i3d_status status = i3d_write_behind_wait(behind, error);
    if (status || !length)
        return status;
    pthread_mutex_lock(&behind->lock);
    behind->next = !behind->next;
    behind->offset = offset;
    behind->length = length;
    pthread_cond_signal(&behind->changed);
    pthread_mutex_unlock(&behind->lock);
    return I3D_OK;
}
