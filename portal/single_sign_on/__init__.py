"""Signing in by an OpenID Connect provider: django-allauth's flow, held to this portal's rules.

Only an address counts that the provider says is confirmed: whoever could choose an unconfirmed
one could choose whose account they get. The provider says who somebody is; what they may do, and
whether a second factor of their own is asked for, is decided here as for everybody.
"""
