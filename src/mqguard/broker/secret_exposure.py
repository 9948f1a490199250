"""In which form the secret of a user leaves, and what comes back of it.

A sealed form is asterisks for the eye and, behind them, the encrypted secret: a copy of a user (Apache's `copyUser`
reads it at one broker and writes it at another) gives a working user, and nobody reads anything on the way. It is
sealed with one of two keys:

* for a Super user who asks: with a key made of that user's own secret. Every mqguard at which the same Super user may
  administer can open it, and needs no other secret in common with this one.
* for anybody else: with this server's sealing key, which only mqguards that were given the same key have.
"""

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.sealing import MASK, SealingKey, SealInvalid, is_sealed, transfer_keys
from mqguard.auth.user import User
from mqguard.broker.settings import SecretExposure


class Exposure:
    """Shows secrets, and takes back what was shown.

    Args:
        form: What the operator chose.
        key: The sealing key; None if this server has none.
    """

    def __init__(self, form: SecretExposure, key: SealingKey | None) -> None:
        self._form = form
        self._key = key

    def show(self, user: User, asker: User | None) -> str | None:
        """What is answered in place of a user's secret.

        Args:
            user: Whose secret.
            asker: The user who asks; None is nobody in particular.
        """
        if not user.secrets:
            return None
        secret = user.secrets[0].secret
        if self._form is SecretExposure.PLAIN:
            return secret.reveal()
        key = self._key
        if asker is not None and asker.is_super:
            key = transfer_keys(asker)[0]
        if self._form is SecretExposure.MASKED or key is None:
            return MASK
        return MASK + key.seal_deterministic(user.name, secret)

    def take(self, name: str, text: str | None, asker: User | None) -> str | None:
        """The secret that an administrator sends for a user, opened if it is sealed.

        Raises:
            MetadataRejected: It is a mask, which is no secret.
            SealInvalid: It is sealed with a key that is not known here, for another user, or damaged.
        """
        if text is None:
            return None
        if text == MASK:
            raise MetadataRejected(
                f"the password of User:{name} is the mask that stands in place of a secret: to copy users, set "
                "`secretExposure = sealed` where they come from"
            )
        sealed = text.removeprefix(MASK)
        if not is_sealed(sealed):
            return text
        keys = [] if self._key is None else [self._key]
        if asker is not None and asker.is_super:
            keys += transfer_keys(asker)
        for key in keys:
            if key.made(sealed):
                return key.open(name, sealed).reveal()
        raise SealInvalid(
            f"the password of User:{name} is sealed with a key that is not known here: copy users as a Super user "
            "that has the same secret on both servers, or give both the same sealing key"
        )
