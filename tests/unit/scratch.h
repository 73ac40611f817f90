/* A directory for one test program's files, and a few steps on it. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[256];

static int make_scratch(void **unused)
{
    (void)unused;
    const char *parent = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/i3dconv-test-XXXXXX",
             parent && *parent ? parent : "/tmp");
    return mkdtemp(scratch) ? 0 : -1;
}

/* The path of name in the directory; good until the eighth call after it. */
static const char *at(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

/* Files in the directory, hidden ones too. */
static int count_files(void)
{
    DIR *directory = opendir(scratch);
    assert_non_null(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(directory);
    return count;
}

static int empty_scratch(void **unused)
{
    (void)unused;
    DIR *directory = opendir(scratch);
    if (!directory)
        return -1;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            remove(at(entry->d_name));
    closedir(directory);
    return 0;
}

static int remove_scratch(void **unused)
{
    empty_scratch(unused);
    return rmdir(scratch);
}

static void put_file(const char *path, const void *bytes, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(close(fd), 0);
}

/* The whole file, malloc'ed. */
static unsigned char *get_file(const char *path, size_t *length)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    unsigned char *bytes = malloc((size_t)status.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)status.st_size), status.st_size);
    bytes[status.st_size] = 0;
    *length = (size_t)status.st_size;
    close(fd);
    return bytes;
}
