#include "model/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

enum { PIECE_SIZE = 1 << 20 };

static void print_digits(const unsigned char *binary, char digest[I3D_DIGEST_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < I3D_DIGEST_SIZE / 2; i++) {
        digest[2 * i] = digits[binary[i] >> 4];
        digest[2 * i + 1] = digits[binary[i] & 15];
    }
    digest[I3D_DIGEST_SIZE - 1] = 0;
}

static enum i3d_status add_file(EVP_MD_CTX *context, struct i3d_file *file,
                                struct i3d_error *error)
{
    uint64_t size = i3d_file_size(file);
    enum i3d_status status = I3D_OK;
    char *piece = malloc(PIECE_SIZE);
    if (!piece)
        return i3d_fail_memory(error);
    for (uint64_t done = 0; done < size && !status;) {
        size_t length = size - done < PIECE_SIZE ? (size_t)(size - done) : PIECE_SIZE;
        status = i3d_file_read(file, done, piece, length, error);
        if (!status && !EVP_DigestUpdate(context, piece, length))
            status = i3d_fail(error, I3D_SYSTEM, "libcrypto cannot compute SHA-256");
        done += length;
    }
    free(piece);
    return status;
}

/* One of file and bytes is null. */
static enum i3d_status digest_either(struct i3d_file *file, const void *bytes, size_t length,
                                     char digest[I3D_DIGEST_SIZE], struct i3d_error *error)
{
    unsigned char binary[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    enum i3d_status status = I3D_OK;
    bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    if (good && file)
        status = add_file(context, file, error);
    else if (good)
        good = EVP_DigestUpdate(context, bytes, length);
    if (good && !status)
        good = EVP_DigestFinal_ex(context, binary, NULL);
    EVP_MD_CTX_free(context);
    if (!good)
        return i3d_fail(error, I3D_SYSTEM, "libcrypto cannot compute SHA-256");
    if (!status)
        print_digits(binary, digest);
    return status;
}

enum i3d_status i3d_digest_file(struct i3d_file *file, char digest[I3D_DIGEST_SIZE],
                                struct i3d_error *error)
{
    return digest_either(file, NULL, 0, digest, error);
}

enum i3d_status i3d_digest_bytes(const void *bytes, size_t length, char digest[I3D_DIGEST_SIZE],
                                 struct i3d_error *error)
{
    return digest_either(NULL, bytes, length, digest, error);
}
