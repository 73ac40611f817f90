#include "model/digest.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The examples of FIPS 180-4's companion document, and the empty message. */
static void known_messages(void **state)
{
    (void)state;
    static const struct {
        const char *message, *digest;
    } known[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char digest[I3D_DIGEST_SIZE];
        assert_int_equal(
            i3d_digest_bytes(known[i].message, strlen(known[i].message), digest, NULL), I3D_OK);
        assert_string_equal(digest, known[i].digest);
    }
}

/* Longer than one piece; a million times "a" is another of the known messages. */
static void files_in_pieces(void **state)
{
    (void)state;
    enum { LENGTH = 3000000 };
    char *bytes = malloc(LENGTH), of_bytes[I3D_DIGEST_SIZE], of_file[I3D_DIGEST_SIZE];
    assert_non_null(bytes);
    memset(bytes, 'a', LENGTH);
    FILE *stream = tmpfile();
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, LENGTH, stream), LENGTH);
    assert_int_equal(fflush(stream), 0);
    struct i3d_file *file = i3d_file_new(dup(fileno(stream)), "aaa");
    assert_non_null(file);
    assert_int_equal(i3d_digest_file(file, of_file, NULL), I3D_OK);
    assert_int_equal(i3d_digest_bytes(bytes, LENGTH, of_bytes, NULL), I3D_OK);
    assert_string_equal(of_file, of_bytes);
    bytes[LENGTH - 1] = 'b';
    assert_int_equal(i3d_digest_bytes(bytes, LENGTH, of_bytes, NULL), I3D_OK);
    assert_string_not_equal(of_file, of_bytes);
    memset(bytes, 'a', LENGTH);
    assert_int_equal(i3d_digest_bytes(bytes, 1000000, of_bytes, NULL), I3D_OK);
    assert_string_equal(of_bytes,
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    i3d_file_release(file);
    fclose(stream);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_messages),
        cmocka_unit_test(files_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
