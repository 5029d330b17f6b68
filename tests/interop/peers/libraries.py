"""The four operations of a peer, in two libraries that others wrote."""

import json

from joserfc import jwe, jws
from joserfc import jwk as joserfc_jwk
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

SIGNING = ["PS256"]
SEALING = ["RSA-OAEP-256", "A256GCM"]


class Jwcrypto:
    @staticmethod
    def thumbprint(jwk):
        return jwcrypto_jwk.JWK(**jwk).thumbprint()

    @staticmethod
    def sign(claims, header, jwk):
        token = jwcrypto_jws.JWS(json.dumps(claims))
        token.allowed_algs = [header["alg"]]
        token.add_signature(jwcrypto_jwk.JWK(**jwk), protected=json.dumps(header))
        return token.serialize(compact=True)

    @staticmethod
    def verify(jwt, jwk):
        token = jwcrypto_jws.JWS()
        token.allowed_algs = SIGNING
        token.deserialize(jwt, jwcrypto_jwk.JWK(**jwk))
        return dict(token.jose_header), json.loads(token.payload)

    @staticmethod
    def encrypt(text, header, jwk):
        token = jwcrypto_jwe.JWE(text, json.dumps(header), algs=[header["alg"], header["enc"]])
        token.add_recipient(jwcrypto_jwk.JWK(**jwk))
        return token.serialize(compact=True)

    @staticmethod
    def decrypt(compact, jwk):
        token = jwcrypto_jwe.JWE(algs=SEALING)
        token.deserialize(compact, jwcrypto_jwk.JWK(**jwk))
        return dict(token.jose_header), token.payload.decode()


class Joserfc:
    @staticmethod
    def thumbprint(jwk):
        return joserfc_jwk.import_key(jwk).thumbprint()

    @staticmethod
    def sign(claims, header, jwk):
        key = joserfc_jwk.import_key(jwk)
        return jws.serialize_compact(header, json.dumps(claims), key, [header["alg"]])

    @staticmethod
    def verify(jwt, jwk):
        token = jws.deserialize_compact(jwt, joserfc_jwk.import_key(jwk), SIGNING)
        return token.headers(), json.loads(token.payload)

    @staticmethod
    def encrypt(text, header, jwk):
        key = joserfc_jwk.import_key(jwk)
        return jwe.encrypt_compact(header, text, key, [header["alg"], header["enc"]])

    @staticmethod
    def decrypt(compact, jwk):
        token = jwe.decrypt_compact(compact, joserfc_jwk.import_key(jwk), SEALING)
        return token.headers(), token.plaintext.decode()
